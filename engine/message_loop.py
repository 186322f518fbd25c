"""The engine core's conversation with its API servers: one ROUTER socket, read and written between steps.

Two threads share the socket under a lock, which is a full fence, as ZeroMQ asks when a socket changes threads. The
main thread holds it while it reads, writes or waits idle. While a step runs nobody holds it, and the beating thread
takes it to say how old the step is; so a server can tell a long step from a dead engine, and an idle engine from both.
"""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import zmq

from paddock.engine.core import ClientOutputs, EngineCore
from paddock.engine.distributed.sockets import admit_only
from paddock.engine.distributed.work_line import RankLostError
from paddock.engine.lifeline import Lifeline
from paddock.engine.messages import (
    AbortRequests,
    AdapterAnswer,
    Adapters,
    AddRequest,
    CallWorkers,
    EngineFailed,
    Heartbeat,
    Hello,
    LoadAdapter,
    Ready,
    ResetPrefixCache,
    Sleep,
    StepOutputs,
    ToCore,
    ToServer,
    UnloadAdapter,
    WakeUp,
    WorkersAnswer,
    decode_for_core,
    encode,
)
from paddock.engine.scheduler.counters import Counters
from paddock.engine.slumber import Slumber

logger = logging.getLogger(__name__)

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]

HEARTBEAT_SECONDS = 1.0
MOST_FRAMES_PER_STEP = 256
"""Frames read between two steps at most, so that a flood of requests does not hold up the running ones."""

LARGEST_FRAME_BYTES = 64 << 20
FAREWELL_MILLISECONDS = 2000


class EngineFailedError(RuntimeError):
    """A step failed: the state of the engine is lost. The cause is chained."""


@dataclass(slots=True)
class Peer:
    """What an API server was last told."""

    counters: Counters
    follows_steps: bool = False
    gauges: tuple[int, int] = field(default=(0, 0))

    def awaits(self, counters: Counters, gauges: tuple[int, int]) -> bool:
        """Whether its view is to be renewed, though there is no output for it."""
        return self.gauges != gauges or (self.follows_steps and self.counters != counters)


@dataclass(frozen=True, slots=True)
class Door:
    """Where servers of other nodes come in."""

    descriptor: int
    """Of a TCP socket that listens at the address."""
    secret: str
    """What a server must know to be heard."""


def bind(context: Context, address: str, door: Door | None = None) -> Socket:
    """A ROUTER at `address` that refuses to send to peers that are gone and never drops what it sends to others."""
    socket: Socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # What waits to be sent is bounded by the requests in flight; a dropped frame would be a lost token.
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_FRAME_BYTES)
    socket.setsockopt(zmq.LINGER, FAREWELL_MILLISECONDS)
    if door is not None:
        admit_only(socket, door.secret)
        socket.setsockopt(zmq.USE_FD, door.descriptor)
    socket.bind(address)
    return socket


class MessageLoop:
    """Runs a core for the peers of a socket until the lifeline ends or a step fails."""

    def __init__(
        self,
        core: EngineCore,
        socket: Socket,
        ready: Ready,
        lifeline: Lifeline,
        check_integrity: bool = False,
    ) -> None:
        """`check_integrity` compares the cache's books with the requests whenever the engine turns idle."""
        self._core = core
        self._socket = socket
        self._ready = ready
        self._lifeline = lifeline
        self._check_integrity = check_integrity
        self._peers: dict[bytes, Peer] = {}
        self._gone: set[bytes] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._step_began: float | None = None
        self._next_beat = 0.0
        self._alarmed = False
        self._orders: deque[tuple[bytes, LoadAdapter | UnloadAdapter | CallWorkers]] = deque()
        self._adapter_changes_told = 0
        self._slumber = Slumber(core)

    def run(self) -> None:
        """Serve. Raises `EngineFailedError` after telling every peer; returns when the lifeline has ended."""
        beating = threading.Thread(target=self._beat_while_stepping, name="heartbeat", daemon=True)
        beating.start()
        try:
            while not self._lifeline.has_ended:
                with self._lock:
                    self._receive()
                self._carry_out_orders()
                outputs = self._step() if self._core.has_work or self._alarmed else {}
                with self._lock:
                    self._publish(outputs)
                while self._slumber.is_due:
                    self._change_slumber()
        finally:
            self._ended.set()
            beating.join()

    def _receive(self) -> None:
        """Take in what has come; wait for it when there is nothing else to do."""
        self._drop_gone_peers()
        for client, refusal in self._core.settle():
            self._send(client, refusal)
        if not self._core.has_work:
            self._wait()
        self._beat_if_due()
        for _ in range(MOST_FRAMES_PER_STEP):
            try:
                self._handle(self._socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return

    def _wait(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._lifeline.descriptor, zmq.POLLIN)
        if self._core.alarm is not None:
            poller.register(self._core.alarm, zmq.POLLIN)
        if self._core.grammar_alarm is not None:
            poller.register(self._core.grammar_alarm, zmq.POLLIN)
        if self._core.bell is not None:
            poller.register(self._core.bell, zmq.POLLIN)
        seconds = max(0.0, self._next_beat - time.monotonic())
        # Without a peer there is nobody to beat for: wait for the first.
        ready = dict(poller.poll(math.ceil(1000 * seconds) if self._peers else None))
        self._alarmed = self._core.alarm in ready
        if self._core.bell in ready:
            self._core.hear()

    def _handle(self, frames: list[bytes]) -> None:
        """One message of a peer. What cannot be read is logged and dropped: it must not end other people's requests."""
        if len(frames) != 2:
            logger.warning("dropped a message of %d frames; every message is one frame", len(frames) - 1)
            return
        client, frame = frames
        try:
            message = decode_for_core(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            logger.warning("dropped a message of %d bytes that cannot be read: %s", len(frame), error)
            return
        if isinstance(message, Hello):
            self._welcome(client, message)
        elif client in self._peers:
            self._dispatch(client, message)
        else:
            logger.warning("dropped %s from a peer that has not said Hello", type(message).__name__)

    def _welcome(self, client: bytes, hello: Hello) -> None:
        if hello.version != self._ready.version:
            text = f"the engine is version {self._ready.version} and the server {hello.version}: run the same version"
            self._send(client, EngineFailed(text))
            return
        self._peers.setdefault(client, Peer(self._core.counters(), hello.follows_steps))
        adapters = [] if self._core.adapters is None else self._core.adapters.served
        self._send(client, msgspec.structs.replace(self._ready, adapters=adapters))
        if self._slumber.state.level:
            self._send(client, self._slumber.state)

    def _dispatch(self, client: bytes, message: ToCore) -> None:
        if isinstance(message, AddRequest):
            refusal = self._slumber.refusal_of(message) or self._core.add(message, client)
            if refusal is not None:
                self._send(client, refusal)
        elif isinstance(message, AbortRequests):
            self._core.abort(message.request_ids, client)
        elif isinstance(message, LoadAdapter | UnloadAdapter | CallWorkers):
            self._orders.append((client, message))
        elif isinstance(message, Sleep | WakeUp):
            self._slumber.ask(client, message)
        elif isinstance(message, ResetPrefixCache):
            logger.info("prefix cache reset: %d blocks forgotten", self._core.reset_prefix_cache())

    def _carry_out_orders(self) -> None:
        """Without the lock: reading an adapter, or a method of the user's, may take as long as many steps."""
        while self._orders:
            client, order = self._orders.popleft()
            with self._failing(f"{type(order).__name__} {order.name!r}"):
                answer = self._answer(order)
            with self._lock:
                self._tell_adapters()
                self._send(client, answer)

    def _change_slumber(self) -> None:
        before = self._slumber.state
        with self._failing("going to sleep, or waking up,"):
            asker, answer = self._slumber.carry_out()
        with self._lock:
            for client in [asker] if self._slumber.state == before else self._peers:
                self._send(client, answer)

    def _answer(self, order: LoadAdapter | UnloadAdapter | CallWorkers) -> AdapterAnswer | WorkersAnswer:
        if isinstance(order, CallWorkers):
            return WorkersAnswer(self._core.call_workers(order.call))
        return self._change_adapters(order)

    def _change_adapters(self, order: LoadAdapter | UnloadAdapter) -> AdapterAnswer:
        adapters = self._core.adapters
        if adapters is None:
            return AdapterAnswer(400, "Adapters need a server started with --enable-lora.")
        fault = adapters.load(order) if isinstance(order, LoadAdapter) else adapters.unload(order)
        return AdapterAnswer() if fault is None else AdapterAnswer(fault.status, fault.message)

    def _tell_adapters(self) -> None:
        """Every server that has not heard of the last change."""
        adapters = self._core.adapters
        if adapters is not None and adapters.num_changes != self._adapter_changes_told:
            self._adapter_changes_told = adapters.num_changes
            for client in self._peers:
                self._send(client, Adapters(adapters.served))

    def _step(self) -> ClientOutputs:
        with self._failing(f"step {self._core.num_steps}"):
            outputs = self._core.step()
            if self._check_integrity and not self._core.has_work:
                self._core.check_integrity()
            return outputs

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Slow work without the lock: peers hear how old it is and, should it fail, that the engine is lost."""
        self._step_began = time.monotonic()
        try:
            yield
        except Exception as error:
            text = f"{what} failed: {type(error).__name__}: {error}"
            if isinstance(error, RankLostError):
                text = str(error)
            with self._lock:
                for client in self._peers:
                    self._send(client, EngineFailed(text))
            raise EngineFailedError(text) from error
        finally:
            self._step_began = None

    def _publish(self, outputs: ClientOutputs) -> None:
        """One frame to each peer that has outputs, or whose last view is no longer true.

        What a step added reaches a peer that follows the steps in a frame of its own: it counts steps by frames.
        """
        self._tell_adapters()
        counters = self._core.counters()
        stats = self._core.stats(counters)
        gauges = (stats.num_running, stats.num_waiting)
        for client, peer in self._peers.items():
            client_outputs = outputs.get(client, [])
            if client_outputs or peer.awaits(counters, gauges):
                added = counters.since(peer.counters)
                peer.counters, peer.gauges = counters, gauges
                self._send(client, StepOutputs(client_outputs, self._core.stats(added)))

    def _send(self, client: bytes, message: ToServer) -> None:
        try:
            self._socket.send_multipart([client, encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            self._gone.add(client)

    def _drop_gone_peers(self) -> None:
        """End the requests of peers that could not be reached: nobody waits for them any more."""
        while self._gone:
            client = self._gone.pop()
            if self._peers.pop(client, None) is not None:
                logger.info("an API server is gone; its requests end")
                self._core.abort_client(client)

    def _beat_if_due(self) -> None:
        """Only with the lock held."""
        now = time.monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + HEARTBEAT_SECONDS
        began = self._step_began
        beat = Heartbeat(self._core.num_steps, 0.0 if began is None else now - began)
        for client in self._peers:
            self._send(client, beat)

    def _beat_while_stepping(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS / 2):
            # Whoever holds the lock beats by itself; only a step leaves it free for long.
            if self._lock.acquire(blocking=False):
                try:
                    self._beat_if_due()
                finally:
                    self._lock.release()
