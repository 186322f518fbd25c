"""Server-sent events with a name and a number."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class EventWriter:
    """Numbers the events of one response from 0 on."""

    def __init__(self) -> None:
        self._number = 0

    def event(self, kind: str, **fields: Any) -> bytes:
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
