"""Weights: reading checkpoint files and filling a model's parameters from them."""
