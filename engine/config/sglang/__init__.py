"""The SGLang dialect: every flag of `python -m sglang.launch_server`, translated into our arguments by name."""
