"""The process of one rank: `python -m paddock.engine.distributed.rank_process`, started by `rank_child`.

The main thread carries out the leader's orders. Another thread beats and listens for the leader's farewell; it ends the
process whatever the main thread is in, because a collective whose peer is gone may never return.
"""

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec
import zmq

from paddock import __version__
from paddock.engine.config import ServeConfig
from paddock.engine.distributed.control_link import ControlLink, LeaderLostError, RefusedError
from paddock.engine.distributed.messages import (
    Answer,
    Awake,
    Called,
    CallMethod,
    Capacity,
    Connect,
    Done,
    DropAdapter,
    Execute,
    Executed,
    Failed,
    FallAsleep,
    Farewell,
    Held,
    HoldAdapter,
    Join,
    Load,
    MakeCache,
    Masks,
    Measure,
    Order,
    Present,
    decode_order,
    encode,
)
from paddock.engine.distributed.rank_child import RankOrder
from paddock.engine.distributed.shared_arguments import shared_arguments
from paddock.engine.distributed.sockets import Context, Socket, dealer
from paddock.engine.distributed.topology import Topology
from paddock.engine.executor.method_call import MethodCall
from paddock.engine.executor.plan import TokenMasks
from paddock.engine.lifeline import die_with_parent
from paddock.engine.logs import configure_logging
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings, SettingsError

if TYPE_CHECKING:
    from paddock.engine.distributed.rendezvous import StoreListener
    from paddock.engine.distributed.seat import Seat
    from paddock.engine.worker.worker import Worker

logger = logging.getLogger("paddock.engine.rank")

JOIN_SECONDS = 60.0
"""The node's own process has found the leader before: it is there."""

USER_ERRORS = (CheckpointError, SettingsError, MemoryError)


def main() -> NoReturn:
    """Run until the leader says farewell or is lost."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=RankOrder)
    die_with_parent(order.parent_pid)
    # The server drains on these signals; the leader tells the ranks when it is done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = ServeConfig.model_validate_json(bytes(order.config))
    configure_logging(config.frontend.log_config_file, os.environ)
    context: Context = zmq.Context()
    try:
        work = _join(context, order, config)
    except (RefusedError, LeaderLostError) as error:
        _end(order.rank, str(error))
    RankLoop(work, order, config).run()


def _join(context: Context, order: RankOrder, config: ServeConfig) -> Socket:
    """Become a member; from here on the control thread may end the process at any time."""
    name = f"rank-{order.rank}"
    topology = Topology.of(config)
    shape = ModelShape.read(Path(order.model_path), config.model)
    join = Join(
        topology.node_rank,
        order.rank,
        __version__,
        shared_arguments(config, shape),
        socket.gethostname(),
        os.getpid(),
    )
    link = ControlLink(context, name, order.group_secret)
    welcome = link.join(lambda: order.control_address, join, JOIN_SECONDS, lambda: False)
    assert welcome is not None, "nobody gives up for a rank"
    threading.Thread(target=_watch, args=(link, order.rank), name="control", daemon=True).start()
    return dealer(context, welcome.work_address, name, order.group_secret)


def _watch(link: ControlLink, rank: int) -> None:
    try:
        farewell: Farewell | None = None
        while farewell is None:
            farewell = link.watch()
    except (LeaderLostError, RefusedError, zmq.ZMQError) as error:
        _end(rank, str(error))
    _end(rank, farewell.reason)


def _end(rank: int, reason: str | None) -> NoReturn:
    """Leave at once, without destructors: those of process groups wait for peers that are gone."""
    if reason is not None:
        logger.error("rank %d ends: %s", rank, reason)
    sys.stderr.flush()
    os._exit(0 if reason is None else 1)


class RankLoop:
    """Orders in, answers out, one at a time."""

    def __init__(self, work: Socket, order: RankOrder, config: ServeConfig) -> None:
        self._work, self._order, self._config = work, order, config
        self._topology = Topology.of(config)
        self._path = Path(order.model_path)
        self._settings: EngineSettings | None = None
        self._listener: StoreListener | None = None
        self._seat: Seat | None = None
        self._worker: Worker | None = None

    def run(self) -> NoReturn:
        try:
            self._send(self._present())
            while True:
                answer = self._obey(decode_order(self._work.recv()))
                if answer is not None:
                    self._send(answer)
        except USER_ERRORS as error:
            self._fail(str(error) or "not enough memory", is_users=True)
        except Exception as error:
            logger.exception("rank %d cannot go on", self._order.rank)
            self._fail(f"{type(error).__name__}: {error}", is_users=False)

    def _fail(self, text: str, is_users: bool) -> NoReturn:
        self._send(Failed(text, is_users))
        # The leader ends the group, and this process with it; without a leader the control thread does.
        threading.Event().wait()
        raise AssertionError

    def _send(self, answer: Answer) -> None:
        self._work.send(encode(answer))

    def _present(self) -> Present:
        # Torch is loaded here, while other ranks may still be on their way.
        from paddock.engine.distributed.rendezvous import StoreListener

        if self._order.rank != 0:
            return Present(self._order.rank)
        self._listener = StoreListener(self._order.own_host)
        return Present(0, self._listener.port)

    def _obey(self, order: Order) -> Answer | None:
        match order:
            case Execute(plan, sampled_later):
                samples = self._order.rank == self._topology.sampling_rank
                masks = self._awaited_masks if samples and plan.masked_rows else None
                result = self._ready_worker.execute(plan, sampled_later, masks)
                return Executed(result) if samples else None
            case Connect():
                self._connect(order)
            case Load():
                self._load()
            case Measure():
                worker = self._ready_worker
                # Asked first: it measures the step.
                available = worker.available_cache_bytes()
                return Capacity(
                    worker.bytes_per_block(),
                    available,
                    worker.weight_bytes,
                    worker.step_bytes,
                    worker.swap_blocks(),
                )
            case MakeCache(num_blocks):
                self._ready_worker.initialize_cache(num_blocks)
            case FallAsleep(level):
                self._ready_worker.sleep(level)
            case Awake(num_blocks):
                self._ready_worker.wake_up(num_blocks)
            case HoldAdapter(adapter):
                return Held(self._ready_worker.hold_adapter(adapter))
            case CallMethod(call):
                return self._call(call)
            case DropAdapter(number):
                self._ready_worker.drop_adapter(number)
                return None
        return Done()

    def _call(self, call: MethodCall) -> Called:
        from paddock.engine.worker.extension import call_method

        return Called(call_method(self._ready_worker, call))

    def _awaited_masks(self) -> TokenMasks:
        """They follow the plan at once."""
        order = decode_order(self._work.recv())
        if not isinstance(order, Masks):
            raise RuntimeError(  # noqa: TRY004
                f"a plan with masked rows was followed by {type(order).__name__}, not by masks"
            )
        return order.masks

    @property
    def _ready_worker(self) -> "Worker":
        assert self._worker is not None, "the order to load comes first"
        return self._worker

    def _connect(self, order: Connect) -> None:
        import torch

        from paddock.engine.distributed.rendezvous import StoreAddress, take_seat

        self._settings = order.settings
        device_type = order.settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
        address = StoreAddress(order.store_host, order.store_port)
        self._seat = take_seat(
            self._topology,
            self._order.rank,
            address,
            self._listener,
            self._order.own_host,
            device_type,
            self._order.inherited,
        )

    def _load(self) -> None:
        from paddock.engine.worker.choice import worker_class

        assert self._settings is not None, "the order to connect comes first"
        shape = ModelShape.read(self._path, self._config.model)
        try:
            made = worker_class(self._config)
            self._worker = made(self._settings, self._config, shape, self._path, self._seat)
        except ValueError as error:
            # A layer of a size that the ranks cannot share says so.
            raise SettingsError(str(error)) from error


if __name__ == "__main__":
    main()
