"""The errors that the local cluster's commands end with."""


class ClusterError(Exception):
    """Something a person must know or do. The message says what was wanted, what happened and what to do."""


class ProgramEnded(ClusterError):
    """A program that should run for ever has ended: waiting longer cannot help."""
