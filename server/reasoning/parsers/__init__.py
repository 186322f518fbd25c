"""One file per way of thinking."""
