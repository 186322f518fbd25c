"""The OpenAI-compatible HTTP server, chat templates, metrics and the `paddock` command."""
