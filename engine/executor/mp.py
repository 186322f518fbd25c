"""The executor of several ranks: a process for each on this node, and those that followers run on other nodes.

This process computes nothing and loads no torch, so that it always notices the loss of a rank and can say so.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import zmq

from paddock.engine.distributed.control_hub import ControlHub
from paddock.engine.distributed.group_secret import group_secret
from paddock.engine.distributed.loading_turns import LoadingTurns
from paddock.engine.distributed.meeting_place import MeetingPlace
from paddock.engine.distributed.messages import (
    Awake,
    Called,
    CallMethod,
    Capacity,
    Connect,
    Done,
    DropAdapter,
    Execute,
    Executed,
    FallAsleep,
    Held,
    HoldAdapter,
    Load,
    MakeCache,
    Masks,
    Measure,
    Present,
)
from paddock.engine.distributed.rank_child import RankCall, RankChildren
from paddock.engine.distributed.shared_arguments import shared_arguments
from paddock.engine.distributed.sockets import Context
from paddock.engine.distributed.topology import Topology
from paddock.engine.distributed.vitality import PROGRESS_SECONDS, STARTING_PATIENCE_SECONDS
from paddock.engine.distributed.work_line import RankLostError, WorkLine
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.method_call import MethodAnswer, MethodCall
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.lora.adapter import Adapter
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings, SettingsError

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

logger = logging.getLogger(__name__)

PARTING_SECONDS = 3.0

A = TypeVar("A", Present, Done, Capacity, Held, Called)


class MpExecutor:
    """Implements `Executor`. Making it waits for every rank and has the model loaded.

    Raises `SettingsError` for what the user can set right, and `RankLostError` when a rank ends meanwhile.
    """

    def __init__(
        self, settings: EngineSettings, config: "ServeConfig", shape: ModelShape, path: Path
    ) -> None:
        self._topology = Topology.of(config)
        self._settings = settings
        self._ranks = range(self._topology.world_size)
        self._under_way: deque[StepPlan] = deque()
        self._early: deque[StepResult] = deque()
        """Results that came while something else was waited for."""
        self._untold: list[tuple[int, int]] = []
        self._context: Context = zmq.Context()
        secret = group_secret(os.environ, self._topology)
        self._place = self._meet(config, secret)
        call = RankCall(self._place.control_address, self._place.host, path, config, secret)
        self._children = RankChildren(call, self._topology.local_ranks)
        self._hub = ControlHub(
            self._place.control,
            shared_arguments(config, shape),
            self._place.work_address,
            self._children.failure,
        )
        self._line = WorkLine(self._place.work, self._hub)
        try:
            self._start(config.parallel.max_parallel_loading_workers)
        except BaseException:
            self.shutdown()
            raise

    def _meet(self, config: "ServeConfig", secret: str | None) -> MeetingPlace:
        if secret is None:
            return MeetingPlace.on_this_node(self._context)
        assert self._topology.master_addr is not None, "checked with the sizes"
        return MeetingPlace.on_network(
            self._context, self._topology.master_addr, config.parallel.master_port, secret
        )

    def _start(self, most_loading: int | None) -> None:
        store_port = self._gather(Present, self._ranks)[0].store_port
        self._hub.begin()
        self._place.hide()
        self._line.tell(self._ranks, Connect(self._settings, self._place.host, store_port))
        self._gather(Done, self._ranks)
        self._load(LoadingTurns(self._topology, most_loading))
        self._line.tell(self._ranks, Measure())
        self._capacities = self._gather(Capacity, self._ranks)

    def _load(self, turns: "LoadingTurns") -> None:
        """Ranks load at once, or as many of a node as may."""
        self._line.tell(turns.first(), Load())
        while turns.unfinished:
            heard = self._line.hear()
            if heard is not None:
                self._line.tell(turns.after(heard[0]), Load())

    def _gather(self, kind: type[A], ranks: Iterable[int]) -> dict[int, A]:
        """One answer of each rank. Before all are present it waits for a long time, and says for whom."""
        answers: dict[int, A] = {}
        missing = set(ranks)
        started = time.monotonic()
        while missing:
            heard = self._line.hear(PROGRESS_SECONDS)
            waited = time.monotonic() - started
            if heard is None:
                logger.info("waiting for %s, %.0f s so far", self._names(missing), waited)
            elif isinstance(heard[1], kind):
                answers[heard[0]] = heard[1]
                missing.discard(heard[0])
            elif isinstance(heard[1], Executed):
                self._early.append(heard[1].result)
            if missing and waited > STARTING_PATIENCE_SECONDS:
                raise RankLostError(f"{self._names(missing)} did not come within {waited:.0f} s")
        return answers

    def _names(self, ranks: Iterable[int]) -> str:
        return ", ".join(f"rank {rank} of node {self._topology.node_of(rank)}" for rank in sorted(ranks))

    @property
    def _tightest(self) -> Capacity:
        """That of the rank which has room for the fewest blocks: all have the same number of them."""
        return min(self._capacities.values(), key=lambda rank: rank.available // max(1, rank.bytes_per_block))

    def bytes_per_block(self) -> int:
        return self._tightest.bytes_per_block

    def available_cache_bytes(self) -> int:
        return self._tightest.available

    def step_bytes(self) -> int:
        return self._tightest.step

    def held_bytes(self) -> tuple[int, int]:
        ranks = self._capacities.values()
        return sum(rank.weights for rank in ranks), sum(rank.bytes_per_block for rank in ranks)

    def swap_blocks(self) -> int:
        return min(rank.swap_blocks for rank in self._capacities.values())

    def initialize_cache(self, num_blocks: int) -> None:
        self._line.tell(self._ranks, MakeCache(num_blocks))
        self._gather(Done, self._ranks)
        self._hub.serve()

    def hold_adapter(self, adapter: Adapter) -> str | None:
        self._line.tell(self._ranks, HoldAdapter(adapter))
        answers = self._gather(Held, self._ranks)
        problem = next((held.problem for held in answers.values() if held.problem is not None), None)
        if problem is not None:
            self.drop_adapter(adapter.number)
        return problem

    def drop_adapter(self, number: int) -> None:
        self._line.tell(self._ranks, DropAdapter(number))

    def call_workers(self, call: MethodCall) -> list[MethodAnswer]:
        self._line.tell(self._ranks, CallMethod(call))
        answers = self._gather(Called, self._ranks)
        return [answers[rank].answer for rank in self._ranks]

    def sleep(self, level: int) -> None:
        self._line.tell(self._ranks, FallAsleep(level))
        self._gather(Done, self._ranks)

    def wake_up(self, num_blocks: int) -> None:
        """A rank that cannot has ended, and the group with it."""
        self._line.tell(self._ranks, Awake(num_blocks))
        try:
            self._gather(Done, self._ranks)
        except SettingsError as error:
            raise RankLostError(f"the engine cannot wake up: {error}") from error

    @property
    def num_stages(self) -> int:
        return self._topology.pipeline_parallel_size

    @property
    def alarm(self) -> int:
        """See `Executor`."""
        return self._hub.alarm

    def check(self) -> None:
        self._line.check()

    def submit(self, plan: StepPlan, masks: MaskSource | None = None) -> None:
        sampled, self._untold = self._untold, []
        last = self._topology.peers(self.num_stages - 1)
        self._line.tell(range(last.start), Execute(plan, sampled))
        self._line.tell(last, Execute(plan))
        if masks is not None:
            # The ranks compute meanwhile; the one that samples asks for these when it is as far.
            self._line.tell([self._topology.sampling_rank], Masks(masks()))
        self._under_way.append(plan)

    def collect(self) -> StepResult:
        while not self._early:
            heard = self._line.hear()
            if heard is not None and isinstance(heard[1], Executed):
                self._early.append(heard[1].result)
        result = self._early.popleft()
        self._remember(result)
        return result

    def _remember(self, result: StepResult) -> None:
        """The stages before the last learn what was sampled with their next plan; not so where a plan on its way has
        given the row to another request."""
        self._under_way.popleft()
        if self.num_stages == 1:
            return
        reused = {new.row for plan in self._under_way for new in plan.new_rows}
        self._untold += [(each.row, each.token_id) for each in result.sampled if each.row not in reused]

    def shutdown(self) -> None:
        self._hub.close()
        self._children.stop(PARTING_SECONDS)
        self._place.work.close()
        self._place.hide()
        self._context.term()
