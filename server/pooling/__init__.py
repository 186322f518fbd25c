"""Vectors and scores over HTTP: what a model that pools can be asked, and how its results are put together."""
