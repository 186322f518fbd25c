"""Wait on a condition, with a deadline and a message that says what was last seen."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotYet(Exception):
    """Raised by a condition that does not hold yet; its text says what was seen."""


def until(condition: Callable[[], T], *, seconds: float, what: str, every: float = 0.25) -> T:
    """Call `condition` until it neither raises `NotYet` nor returns a false value; return what it returned.

    Raises `TimeoutError` naming `what` and what was last seen.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = condition()
            seen = repr(value)
            if value:
                return value
        except NotYet as not_yet:
            seen = str(not_yet)
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s still waiting for {what}; last seen: {seen}")
        time.sleep(every)
