"""Downloads a model into a cache that several pods may share. Neither torch nor transformers is imported here."""
