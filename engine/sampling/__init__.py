"""Sampling: parameters of a request, and how logits become tokens."""
