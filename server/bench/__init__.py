"""Benchmarks: a running server under load, and the engine by itself."""
