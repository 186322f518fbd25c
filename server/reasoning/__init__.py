"""Thinking in the text of a model: what separates it from the answer."""
