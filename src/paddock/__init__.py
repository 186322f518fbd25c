"""Paddock serves language models on Kubernetes: an operator, an engine and an OpenAI-compatible server."""

__version__ = "0.1.0"
