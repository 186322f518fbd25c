"""The worker: one device's model, cache and rows, and how a step's plan becomes tokens."""
