"""Any causal language model that transformers has, its attention replaced by ours over the paged cache."""
