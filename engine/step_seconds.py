"""What the steps of a request took, for its trace (--collect-detailed-traces)."""

from collections.abc import Iterable
from typing import Literal

import msgspec

TimedPart = Literal["model", "worker"]


def timed_parts(asked: Iterable[str] | None) -> frozenset[TimedPart]:
    """What --collect-detailed-traces names; "all" names both."""
    names = frozenset(asked or ())
    parts: tuple[TimedPart, ...] = ("model", "worker")
    return frozenset(part for part in parts if names & {part, "all"})


class StepSeconds(msgspec.Struct, array_like=True, frozen=True):
    """Of one step or of several; None for a part that is not timed."""

    model: float | None = None
    """Its forward pass, without the choice of tokens."""
    worker: float | None = None
    """All that the worker did."""

    def plus(self, later: "StepSeconds") -> "StepSeconds":
        return StepSeconds(_sum(self.model, later.model), _sum(self.worker, later.worker))


class PhaseSeconds(msgspec.Struct, array_like=True, frozen=True):
    """Of the steps that a request took part in; those shared with others count in full."""

    prefill: StepSeconds = StepSeconds()
    """Up to its first token."""
    decode: StepSeconds = StepSeconds()

    @property
    def total(self) -> StepSeconds:
        return self.prefill.plus(self.decode)

    @property
    def longest(self) -> float:
        """The worker's time holds the model's."""
        total = self.total
        return total.worker or total.model or 0.0


def _sum(earlier: float | None, later: float | None) -> float | None:
    return later if earlier is None else earlier + (later or 0.0)
