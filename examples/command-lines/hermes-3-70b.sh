# A tool-calling guide on the Hugging Face hub: Hermes 3, Llama 3.1 70B in FP8.
python -m vllm.entrypoints.openai.api_server \
    --model NousResearch/Hermes-3-Llama-3.1-70B-FP8 \
    --dtype auto \
    --quantization compressed-tensors \
    --max-model-len 131072 \
    --enable-auto-tool-choice \
    --tool-call-parser hermes \
    --gpu-memory-utilization 0.90 \
    --max-num-seqs 4
