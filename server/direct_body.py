"""A way for the pieces of a streamed answer past the layers around the application."""

import weakref

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

SCOPE_KEY = "paddock.direct_body"


class DirectBody:
    """The layers see an answer's start, first piece and end; what they would do with the pieces between is to hand them
    on, which takes longer than to write them. Bytes are HTTP/1.1's chunked coding (RFC 9112, section 7.1)."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        # The cycle holds the scope, which holds this: freed at its end, not when the collector finds time.
        self._cycle = weakref.ref(cycle)
        self._transport = cycle.transport

    @property
    def is_open(self) -> bool:
        """Whether the client takes pieces now: the answer has begun, is chunked, and what was written has left."""
        cycle = self._cycle()
        if cycle is None or not cycle.chunked_encoding:
            return False
        return not (cycle.flow.write_paused or cycle.disconnected or cycle.response_complete)

    def write(self, piece: bytes) -> None:
        """`piece` has at least one byte; the body must be open."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))


def direct_body(scope: Scope) -> DirectBody | None:
    """None where it is withheld."""
    found: DirectBody | None = scope.get(SCOPE_KEY)
    return found


def withhold_direct_body(scope: Scope) -> None:
    """For an application whose every piece is to pass what stands around it."""
    scope.pop(SCOPE_KEY, None)
