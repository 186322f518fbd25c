"""What ends a benchmark before it has measured anything."""


class BenchError(Exception):
    """The text names what is wrong and says what to do; it is meant to be printed."""
