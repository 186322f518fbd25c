"""Wait on conditions until a point in time, never for a fixed number of tries."""

import time
from collections.abc import Callable
from typing import TypeVar

from local_cluster.errors import ClusterError, ProgramEnded

Value = TypeVar("Value")


class Deadline:
    """A point in time, `seconds` from now, that every wait of one bring-up shares."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def wait(self, what: str, attempt: Callable[[], Value | None], *, interval: float = 0.2) -> Value:
        """The first true value of `attempt`; a ClusterError that it raises counts as "not yet".

        A loaded API server refuses connections for a while, so a refusal is retried. Raises ClusterError
        with `what` and the last refusal once the time is up.
        """
        refusal = "it never became true"
        while True:
            try:
                if value := attempt():
                    return value
            except ProgramEnded:
                raise
            except ClusterError as error:
                refusal = str(error)
            if time.monotonic() >= self._end:
                raise ClusterError(f"{what}: not within {self._seconds:g} s ({refusal})")
            time.sleep(interval)
