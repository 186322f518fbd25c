"""Layers that the model families share; each knows how to load its shard of a checkpoint tensor."""
