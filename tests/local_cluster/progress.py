"""Say what a long step does, how long it should take and how long it has taken."""

import sys
import threading
import time
from types import TracebackType
from typing import Self

HEARTBEAT_SECONDS = 20.0


def say(text: str) -> None:
    """Print one line for a person. Standard output stays free for results."""
    print(text, file=sys.stderr, flush=True)


class Step:
    """A long step: announced with an estimate, repeated with the elapsed time, closed with its duration."""

    def __init__(self, what: str, estimate: str = "") -> None:
        self._what = what
        self._estimate = f" (about {estimate})" if estimate else ""
        self._detail = ""
        self._done = threading.Event()
        self._started = 0.0

    def detail(self, text: str) -> None:
        """What the step is at just now; shown with the next heartbeat."""
        self._detail = text

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        say(f"▸ {self._what}{self._estimate}")
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        mark = "✗" if kind else "✓"
        say(f"{mark} {self._what}: {self._elapsed():.1f} s")

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_SECONDS):
            say(f"  … {self._what}: {self._elapsed():.0f} s{self._estimate} {self._detail}".rstrip())
