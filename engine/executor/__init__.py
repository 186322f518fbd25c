"""Executors run a step's plan on one or several workers."""
