"""What can be wrong with a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint cannot be served. The text names the file or field, what was found and what to do; it is meant to be printed."""
