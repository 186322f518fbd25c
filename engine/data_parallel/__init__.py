"""Replicas of the engine behind one endpoint: which there are, how those of a node run, and how those of other nodes join."""
