"""The requests of an engine that have constraints: those whose grammar is not compiled yet, and those that are served."""

from collections.abc import Iterator

import numpy as np

from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.plan import StepPlan, TokenMasks
from paddock.engine.messages import RequestOutput, RequestRefused
from paddock.engine.scheduler.request import Request
from paddock.engine.structured_output.compiler import CompilersBusyError, GrammarCompiler, Ticket
from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.guide import Guide

FIELD = "structured_outputs"


class ConstrainedRequests:
    """Single-threaded, but for the masks: those may be taken from another thread before the step's tokens are told."""

    def __init__(self, compiler: GrammarCompiler) -> None:
        self.compiler = compiler
        self._waiting: dict[Request, Ticket] = {}
        self._guides: dict[Request, Guide] = {}

    @property
    def num_waiting(self) -> int:
        """Requests that no step can serve yet."""
        return len(self._waiting)

    def add(self, request: Request) -> None:
        assert request.sampling.constraint is not None
        self._waiting[request] = self.compiler.ticket(request.sampling.constraint)

    def remove(self, request: Request) -> bool:
        """Forget a request, of any kind. True when it was waiting here, so that no scheduler knows it."""
        self._guides.pop(request, None)
        return self._waiting.pop(request, None) is not None

    def settled(self) -> Iterator[tuple[Request, RequestRefused | None]]:
        """The requests whose wait is over: to be scheduled, or refused and forgotten."""
        if not self._waiting:
            return
        self.compiler.hush()
        for request, ticket in list(self._waiting.items()):
            outcome = ticket.outcome()
            if outcome is None:
                continue
            del self._waiting[request]
            if isinstance(outcome, ConstraintError | CompilersBusyError):
                yield request, _refusal(request, outcome)
                continue
            constraint = request.sampling.constraint
            thinking = None if constraint is None else constraint.thinking
            self._guides[request] = Guide(outcome, self.compiler.maker.vocabulary, thinking)
            yield request, None

    def masks_for(self, plan: StepPlan) -> MaskSource | None:
        """Note in `plan` which rows get a mask. None when no row does."""
        if not self._guides:
            return None
        by_row = {request.row: guide for request, guide in self._guides.items()}
        sampling = [each.row for each in plan.scheduled if each.samples and each.row in by_row]
        if not sampling:
            return None
        plan.masked_rows = sampling
        guides = [by_row[row] for row in sampling]
        num_words = self.compiler.maker.vocabulary.num_words
        return lambda: _masks(guides, num_words)

    def advance(self, request: Request, output: RequestOutput) -> None:
        """A step has brought this."""
        guide = self._guides.get(request)
        if guide is not None:
            for token_id in output.new_token_ids:
                guide.accept(token_id)
            if output.finish_reason is not None:
                del self._guides[request]


def _masks(guides: list[Guide], num_words: int) -> TokenMasks:
    words = np.zeros((len(guides), num_words), np.int32)
    for guide, row in zip(guides, words, strict=True):
        guide.fill(row)
    return TokenMasks(words.tobytes())


def _refusal(request: Request, error: ConstraintError | CompilersBusyError) -> RequestRefused:
    if isinstance(error, CompilersBusyError):
        return RequestRefused(request.request_id, 503, f"{error}. Try again later.".capitalize())
    return RequestRefused(request.request_id, 400, f"The output cannot be constrained so: {error}.", FIELD)
