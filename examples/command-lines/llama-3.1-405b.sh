# Vultr's inference cookbook, page "Llama 3.1 (405B)": eight GPUs, FP8 weights and cache. (There the arguments follow an
# image whose entry point is `vllm serve`.)
vllm serve \
    --model meta-llama/Llama-3.1-405B-Instruct \
    --tensor-parallel-size 8 \
    --quantization fp8 \
    --kv-cache-dtype fp8 \
    --max-model-len 32768
