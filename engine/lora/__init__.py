"""LoRA adapters: their files, where they enter a model, and the books of which are served and held."""
