"""What the engine core asks of a scheduler, for `--scheduler-cls`.

A scheduler of your own derives from `SchedulerInterface`, or from `paddock.engine.scheduler.scheduler.Scheduler` to
change one decision of the engine's own. It runs in the engine core's process, in one thread, and sees no tensor.
"""

from abc import ABC, abstractmethod

from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.messages import RequestOutput
from paddock.engine.scheduler.counters import Counters
from paddock.engine.scheduler.request import Request
from paddock.engine.settings import EngineSettings


class SchedulerInterface(ABC):
    """Owns the requests between `add` and their end: their order, their rows and, through `cache`, their blocks.

    Steps are planned by `schedule` and answered by `update`, in the same order. Up to `most_steps_under_way` plans
    may be waiting for their answers at the same time:

    - in a pipeline of `num_stages` stages, plans under way must not compute the same request once it samples, since
      its next token is not known yet;
    - with `settings.async_scheduling` they may: the worker itself appends what it samples to the row, so a plan may
      compute a token whose value the scheduler has not seen. What it then turns out not to need is thrown away.

    A request that `is_constrained` is never planned ahead of its last token, and `request.row` says which row it holds.

    An executor runs plans in the order of their submission. Blocks and rows may therefore be given to another request
    at once, even while a step that writes to them is under way.
    """

    def __init__(self, cache: KVCache, settings: EngineSettings, num_stages: int) -> None:
        """`cache` is empty. `num_stages` is 1 unless the model runs as a pipeline."""
        self.cache = cache
        self.settings = settings
        self.num_stages = num_stages
        self.counters = Counters()
        self.num_steps = 0
        """Number of the plan made last; the first plan has number 1."""

    @property
    def most_steps_under_way(self) -> int:
        """Plans that may be submitted before the first of them is answered."""
        return max(self.num_stages, 2 if self.settings.async_scheduling else 1)

    @property
    @abstractmethod
    def num_running(self) -> int:
        """Requests that hold a row and blocks."""

    @property
    @abstractmethod
    def num_waiting(self) -> int:
        """All other requests."""

    @abstractmethod
    def add(self, request: Request) -> None:
        """Take a request in; it has been checked and its id is unique. `request.rank` is its place by the policy."""

    @abstractmethod
    def abort(self, request: Request) -> None:
        """Forget a request that has not ended. Its row and its blocks are free when this returns, and no later
        `update` answers it."""

    @abstractmethod
    def schedule(self) -> StepPlan | None:
        """Plan a step of at least one and at most `settings.max_num_batched_tokens` tokens, in at most
        `settings.max_num_seqs` rows that use at most `settings.lora.max_loras` adapters; None when nothing can be computed before a step under way is answered.

        With requests and no step under way there must be a plan.
        """

    @abstractmethod
    def update(self, result: StepResult) -> list[tuple[Request, RequestOutput]]:
        """Take in the answer to the oldest plan that has none. A request whose output has a finish reason has ended:
        its row and its blocks are free."""

    @abstractmethod
    def check_integrity(self) -> None:
        """Raise `CacheIntegrityError` when the used blocks are not exactly those that requests hold. May be slow."""
