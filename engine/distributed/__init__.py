"""Ranks of one engine over processes and nodes: who does what, how they find each other, and how they notice a death."""
