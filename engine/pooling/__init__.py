"""The pooling runner: vectors and scores of whole inputs, in place of generated tokens."""
