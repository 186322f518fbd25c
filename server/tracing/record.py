"""What is known of one request when it has ended. Nothing is timed per token: the times are those that metrics keep."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.types import Scope

from paddock.engine.messages import AddRequest
from paddock.engine.step_seconds import PhaseSeconds
from paddock.server.generation.format import TokenCount
from paddock.server.generation.stream import Generation, Sequence

SCOPE_KEY = "paddock.trace"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a span tells of the request itself; never its texts."""

    model: str
    first: AddRequest
    """Of several sequences the first: they differ in their seeds alone."""

    num_choices: int
    stream: bool
    tokens: TokenCount


@dataclass(frozen=True, slots=True)
class Phase:
    """Seconds since the epoch."""

    name: str
    started: float
    ended: float


class RequestTrace:
    """Travels in the scope of a request that is traced, and gathers references."""

    __slots__ = ("_first", "_holders", "_last", "_on_end", "asked", "operation", "started")

    def __init__(self, operation: str, on_end: Callable[[], None]) -> None:
        """`operation` as the semantic conventions for generative AI name it."""
        self.operation = operation
        self._on_end = on_end
        self.started = time.time()
        self.asked: Asked | None = None
        self._first: Generation | None = None
        self._last: Generation | None = None
        self._holders = 1

    def follow(self, generation: Generation) -> None:
        """Called for each generation of the request; beam search and long lists of inputs have one after another."""
        self._first = self._first or generation
        self._last = generation

    def hold(self) -> None:
        """The request goes on after its HTTP answer; `release` tells when it has ended."""
        self._holders += 1

    def release(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._on_end()

    @property
    def ends(self) -> list[str]:
        """Why each sequence ended, of those that have. Rounds of a search end for no reason of the caller's."""
        if self._first is not self._last:
            return []
        return [sequence.ended for sequence in self._sequences(self._last) if sequence.ended is not None]

    @property
    def failed(self) -> bool:
        return any(sequence.ended == "error" for sequence in self._sequences(self._last))

    def times(self) -> "Times | None":
        """None for a request that did not come to its first token."""
        first = [sequence for sequence in self._sequences(self._first) if sequence.first_token]
        if not first:
            return None
        arrival = first[0].arrival
        first_token = min(sequence.first_token for sequence in first)
        # Engines on other nodes have clocks of their own.
        scheduled = min(max(arrival, min(sequence.scheduled for sequence in first)), first_token)
        last_token = max(sequence.last_token for sequence in self._sequences(self._last))
        return Times(arrival, scheduled, first_token, max(first_token, last_token))

    def spent(self) -> PhaseSeconds | None:
        """By the steps of the sequence that took longest; None for a search, which is many short ones."""
        if self._first is not self._last:
            return None
        found = [each.spent for each in self._sequences(self._last) if each.spent is not None]
        return max(found, key=lambda spent: spent.longest, default=None)

    def _sequences(self, generation: Generation | None) -> list[Sequence]:
        return [] if generation is None else generation.sequences


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the epoch, in this order: of the first of several sequences, but `last_token`, of the last."""

    arrival: float
    """When the prompt was read and tokenized."""

    scheduled: float
    first_token: float
    last_token: float

    def phases(self, started: float, ended: float, *, generates: bool) -> Iterator[Phase]:
        """From the head of the request to the last byte of its answer. A pooling model has no tokens to decode."""
        yield Phase("tokenize", started, self.arrival)
        yield Phase("queue", self.arrival, self.scheduled)
        yield Phase("prefill", self.scheduled, self.first_token)
        if generates:
            yield Phase("decode", self.first_token, self.last_token)
            yield Phase("detokenize", self.last_token, ended)


def trace_of(scope: Scope) -> RequestTrace | None:
    """None for a request that is not traced."""
    found: RequestTrace | None = scope.get(SCOPE_KEY)
    return found


def follow(scope: Scope, generation: Generation) -> None:
    trace = trace_of(scope)
    if trace is not None:
        trace.follow(generation)
