"""What the leader and the members of a group say to each other: msgpack over ZeroMQ, nothing ever unpickled.

Two sockets lead from each member to the leader. On the control socket threads of their own join, beat and part, also
while a step runs or hangs. On the work socket the leader gives orders to the ranks, each answered once. Between nodes
both are encrypted and open only to who knows the group's secret.
"""

import secrets
from collections.abc import Iterable

import msgspec

from paddock.engine.executor.method_call import MethodAnswer, MethodCall
from paddock.engine.executor.plan import StepPlan, StepResult, TokenMasks
from paddock.engine.lora.adapter import Adapter
from paddock.engine.settings import EngineSettings


class Message(msgspec.Struct, array_like=True, tag=True):
    """Base of every message: a tagged array on the wire, one frame each."""


class Join(Message):
    """Member to leader, first on the control socket: answered by `Welcome` or `Refused`."""

    node: int
    rank: int | None
    """None for the follower that looks after its node's ranks."""
    version: str
    arguments: dict[str, str]
    """What all members must have alike, by flag."""
    host: str
    pid: int
    engines: dict[int, str] = {}
    """Of a node of data-parallel engines, by rank: their addresses for another's API servers, empty where its own serve
    them."""
    store: tuple[str, int] | None = None
    """Of the node of the first of replicas that share experts: where the ranks of all find each other."""
    start: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    """Tells one start of the member from the next: a pod that replaces another has its name, and the same pids."""

    @property
    def name(self) -> str:
        """How the member is called in logs and errors."""
        role = f"node {self.node}" if self.rank is None else f"rank {self.rank} on node {self.node}"
        if self.engines:
            role = f"the node of data-parallel {rank_names(self.engines)}"
        return f"{role} ({self.host}, pid {self.pid})"


def rank_names(ranks: Iterable[int]) -> str:
    """ "rank 2", or "ranks 2, 3"."""
    numbers = sorted(ranks)
    return f"rank{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


class Welcome(Message):
    work_address: str


class Refused(Message):
    """Leader to member: it does not belong here, and why."""

    reason: str


class Beat(Message):
    """Both ways, each second, and at once when there is news."""

    serving: bool = False
    """From the leader: whether the group serves. While it starts, silence is borne longer: imports hold threads up."""
    begun: int = 0
    """Between nodes of replicas that share experts: the newest step that any of them is known to have begun."""
    store: tuple[str, int] | None = None
    """From the leader of these: where their ranks find each other, once all nodes are there."""
    is_done: bool = False
    """To the leader: the sender was told to stop and answers nobody any more; it goes on for the others alone."""


class Farewell(Message):
    """Both ways: the sender ends, and with it the group. Without a reason the leader was told to stop."""

    reason: str | None = None


class Present(Message):
    """Rank to leader, first on the work socket."""

    rank: int
    store_port: int = 0
    """Of rank 0: where the ranks' process groups find each other."""


class Connect(Message):
    """Leader to ranks, when all are present: form the process groups."""

    settings: EngineSettings
    """The leader's: what they derive from its machine holds for all."""
    store_host: str
    store_port: int


class Load(Message):
    """Leader to rank: load the weights."""


class Measure(Message):
    """Leader to ranks, when all have loaded: answered by `Capacity`."""


class Capacity(Message):
    """Rank to leader; all in bytes."""

    bytes_per_block: int
    available: int
    weights: int
    step: int
    swap_blocks: int
    """Not bytes: see `Executor.swap_blocks`."""


class MakeCache(Message):
    num_blocks: int


class FallAsleep(Message):
    """Leader to ranks: see `Executor.sleep`."""

    level: int


class Awake(Message):
    """Leader to ranks: see `Executor.wake_up`."""

    num_blocks: int


class Done(Message):
    """Rank to leader: the last order is carried out."""


class Execute(Message):
    """Leader to ranks, several ahead of their answers; the sampling rank alone answers, with `Executed`."""

    plan: StepPlan
    sampled_later: list[tuple[int, int]] = []
    """See `ModelRunner.execute`."""


class Masks(Message):
    """Leader to the sampling rank, right after an `Execute` whose plan has masked rows."""

    masks: TokenMasks


class HoldAdapter(Message):
    """Leader to ranks: answered by `Held`."""

    adapter: Adapter


class DropAdapter(Message):
    """Leader to ranks, without an answer."""

    number: int


class Held(Message):
    problem: str | None = None
    """What is wrong with the adapter, in words for the user."""


class CallMethod(Message):
    """Leader to ranks: see `Executor.call_workers`."""

    call: MethodCall


class Called(Message):
    answer: MethodAnswer


class Executed(Message):
    result: StepResult


class Failed(Message):
    """Rank to leader: an order could not be carried out; the rank ends."""

    message: str
    is_users: bool
    """A fault that the user can set right, told in words; else one of ours."""


Control = Join | Welcome | Refused | Beat | Farewell
Order = (
    Connect
    | Load
    | Measure
    | MakeCache
    | Execute
    | Masks
    | HoldAdapter
    | DropAdapter
    | CallMethod
    | FallAsleep
    | Awake
)
Answer = Present | Done | Capacity | Executed | Held | Called | Failed

encode = msgspec.msgpack.Encoder().encode
decode_control = msgspec.msgpack.Decoder(Control).decode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
