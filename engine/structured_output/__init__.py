"""Constrained output: from a request's schema, expression or grammar to the tokens that may come next."""
