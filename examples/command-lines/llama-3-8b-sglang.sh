# SGLang's documentation, page "Server arguments": the options of its example configuration file, typed out.
python -m sglang.launch_server \
    --model-path meta-llama/Meta-Llama-3-8B-Instruct \
    --host 0.0.0.0 \
    --port 30000 \
    --tp 2 \
    --enable-metrics \
    --log-requests
