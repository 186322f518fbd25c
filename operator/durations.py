"""Durations as the resource writes them: 90s, 5m, 1h30m."""

from __future__ import annotations

import re

_PARTS = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def seconds(duration: str) -> int:
    """Length of `duration` in seconds. Raises ValueError for anything but hours, minutes, seconds in this
    order.
    """
    match = _PARTS.fullmatch(duration)
    if match is None or not duration:
        raise ValueError(f"duration {duration!r} is not of the form 1h30m, 5m or 90s")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest
