"""Models: the shape of a checkpoint, where it lies, and one file per native family."""
