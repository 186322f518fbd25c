# A user's start script on the Hugging Face hub: QwQ 32B on two GPUs, through the older entry point.
CUDA_VISIBLE_DEVICES=0,1 python -m vllm.entrypoints.openai.api_server \
    --host 127.0.0.1 --port 8422 \
    --model Qwen/QwQ-32B \
    --tensor-parallel-size 2 \
    --max-model-len 8192
