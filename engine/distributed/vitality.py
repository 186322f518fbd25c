"""How often a member gives a sign of life, and how long silence is borne. Seconds."""

BEAT_SECONDS = 1.0

SILENCE_SECONDS = 3.0
"""Three missed beats, once the group serves."""

STARTING_SILENCE_SECONDS = 60.0
"""While it starts: importing and reading from a slow disk hold all of a process's threads up for seconds. A process that
ends is noticed at once all the same, by the node it ran on."""


def silence_limit(serving: bool) -> float:
    """How long a member may be silent before it counts as dead."""
    return SILENCE_SECONDS if serving else STARTING_SILENCE_SECONDS


STARTING_PATIENCE_SECONDS = 1800.0
"""How long the leader and the followers wait for each other to be started."""

PROGRESS_SECONDS = 10.0
"""Between two lines in the log while waiting."""


LISTENING_SECONDS = 0.5
"""Who listens comes back to it within this time, or has been held up."""


class OwnPauses:
    """How long a listener itself was held up: for want of a core, by another thread, or stopped.

    Others may well have spoken in that time, and what they said may still be on its way to the listener: it is no
    silence of theirs.
    """

    def __init__(self) -> None:
        self._last: float | None = None

    def until(self, now: float) -> float:
        """Seconds held up since the last call. Call it each time round."""
        since = 0.0 if self._last is None else now - self._last
        self._last = now
        return since if since > LISTENING_SECONDS else 0.0
