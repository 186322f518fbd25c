"""What ends a batch before every line has its answer."""


class BatchError(Exception):
    """The text names what is wrong and says what to do; it is meant to be printed."""
