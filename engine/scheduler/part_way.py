"""How many prompts may be part-way through prefill after a step, how many of them long, and how much one may take."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from paddock.engine.scheduler.request import Request
from paddock.engine.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class PrefillLimits:
    """Long is what has more known tokens than a step may compute of one request."""

    chunked: bool
    max_part_way: int
    max_long_part_way: int
    most_tokens_of_one: int

    @staticmethod
    def of(settings: EngineSettings) -> "PrefillLimits":
        return PrefillLimits(
            settings.enable_chunked_prefill,
            settings.max_num_partial_prefills,
            settings.max_long_partial_prefills,
            settings.long_prefill_token_threshold or sys.maxsize,
        )

    def is_long(self, request: Request) -> bool:
        return len(request.token_ids) > self.most_tokens_of_one


class PartWay:
    """The count of one step's admissions. It is taken only when a prompt is met that it matters for."""

    def __init__(self, limits: PrefillLimits, running: Iterable[Request]) -> None:
        self._limits = limits
        self._running = running
        self._counted: tuple[int, int] | None = None

    def _counts(self) -> tuple[int, int]:
        if self._counted is None:
            of_all = [request for request in self._running if request.is_part_way]
            self._counted = len(of_all), sum(map(self._limits.is_long, of_all))
        return self._counted

    def holds_back(self, request: Request) -> bool:
        """Must this long prompt wait for another long one, so that those behind it go first?

        It is not starved: what it waits for advances in every step, and when its turn comes nobody goes before it.
        """
        return self._limits.is_long(request) and self._counts()[1] >= self._limits.max_long_part_way

    def tokens_of_first_step(self, num_new: int, budget: int) -> int:
        """Of `num_new` tokens to compute, those that the step takes; 0 when none may be begun."""
        num_tokens = min(num_new, budget, self._limits.most_tokens_of_one)
        if num_tokens == num_new:
            return num_tokens
        may_begin = self._limits.chunked and self._counts()[0] < self._limits.max_part_way
        return num_tokens if may_begin else 0

    def admitted(self, request: Request) -> None:
        """`request` has just been scheduled."""
        if self._counted is not None and request.is_part_way:
            of_all, of_long = self._counted
            self._counted = of_all + 1, of_long + self._limits.is_long(request)
