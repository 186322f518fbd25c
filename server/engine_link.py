"""The server's end of one engine's socket: requests out, one pass per frame of outputs in."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
import zmq

from paddock.engine.distributed.group_secret import required_secret
from paddock.engine.distributed.sockets import show
from paddock.engine.lora.adapter import Adapter
from paddock.engine.messages import (
    AbortRequests,
    AdapterAnswer,
    Adapters,
    CallWorkers,
    EngineStats,
    Heartbeat,
    Hello,
    LoadAdapter,
    Ready,
    RequestOutput,
    RequestRefused,
    Sleep,
    SleepState,
    StepOutputs,
    ToCore,
    ToServer,
    UnloadAdapter,
    WakeUp,
    WorkersAnswer,
    decode_for_server,
    encode,
)
from paddock.server.errors import ApiError, unavailable
from paddock.server.generation.stream import EndReason, Generation, Sequence
from paddock.server.metrics import Metrics
from paddock.server.step_feed import DEFAULT_CHUNK, StepFeed

T = TypeVar("T")

RETRY_AFTER_SECONDS = 1
WAITING_WEIGHT = 4
"""A request that waits tells more of an engine's load than one that runs: there was no room for it."""


class EngineLink:
    """Owns one DEALER socket; made and used on one running event loop. All methods but `connect` return at once.

    The socket's descriptor is watched directly: a frame with the outputs of a whole step is read and handed out
    without a task switch per token, `chunk` of them at each turn of the loop.
    """

    def __init__(
        self, address: str, metrics: Metrics, on_failure: Callable[[str], None], chunk: int = DEFAULT_CHUNK
    ) -> None:
        """`metrics` are this engine's. `on_failure` hears why the engine is lost, at most once."""
        self.metrics = metrics
        self._feed = StepFeed(self._hand_out, self._end_step, chunk)
        self._on_failure = on_failure
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        if address.startswith("tcp:"):  # of another node
            self._socket.setsockopt(zmq.IPV6, int("[" in address))
            show(self._socket, required_secret(os.environ))
        self._socket.connect(address)
        descriptor = self._socket.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)
        self._sequences: dict[str, tuple[Sequence, Generation]] = {}
        """Those in flight, by request id, and where their outputs go."""
        self._num_waiting = self._others = 0
        self._last_heard = time.monotonic()
        self._step_age = self._step_pauses = 0.0
        self.ready: Ready | None = None
        self.adapters: dict[str, Adapter] = {}
        """Those that the engine serves, by name."""
        self._changing: deque[asyncio.Future[AdapterAnswer]] = deque()
        """The engine answers in the order in which it was asked."""
        self._calling: deque[asyncio.Future[WorkersAnswer]] = deque()
        """So it does here."""
        self.sleep_level = 0
        """0 is awake."""
        self._dozing: set[asyncio.Future[SleepState]] = set()
        self._is_over = False
        self._ready_event = asyncio.Event()

    async def connect(self, version: str) -> Ready | None:
        """Greet the engine and wait until it can serve; None when it is lost first. Cancel it to give up."""
        self.send(Hello(version, follows_steps=self.metrics.follows_steps))
        await self._ready_event.wait()
        return self.ready

    def give_up(self) -> None:
        """Whatever is waited for from this engine will not come; what has come is the callers'."""
        self._feed.flush()
        self._is_over = True
        self._ready_event.set()
        awaited: Iterable[asyncio.Future[Any]] = (*self._changing, *self._calling, *self._dozing)
        for answer in awaited:
            if not answer.done():
                answer.set_exception(unavailable("the engine is lost"))

    async def change(self, order: LoadAdapter | UnloadAdapter) -> AdapterAnswer:
        """Have the engine load or unload an adapter; and wait for it. Raises ApiError 503 when it is lost."""
        return await self._ask(order, self._changing)

    async def call_workers(self, order: CallWorkers) -> WorkersAnswer:
        """Have the engine's workers call a method; and wait for it. Raises ApiError 503 when it is lost."""
        return await self._ask(order, self._calling)

    async def _ask(self, order: ToCore, asked: deque[asyncio.Future[T]]) -> T:
        if self._is_over:
            raise unavailable("the engine is lost")
        answer: asyncio.Future[T] = self._loop.create_future()
        asked.append(answer)
        self.send(order)
        return await answer

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._socket.close()
        self._context.term()

    @property
    def generations(self) -> set[Generation]:
        """Those with sequences that were sent to the engine and have not finished."""
        return {generation for _, generation in self._sequences.values()}

    @property
    def num_sequences(self) -> int:
        return len(self._sequences)

    @property
    def load(self) -> int:
        """Requests of this server, which it knows exactly, and of others as last told; those that wait weigh more."""
        return len(self._sequences) + self._others + (WAITING_WEIGHT - 1) * self._num_waiting

    def start(self, generation: Generation) -> None:
        """Send the sequences of one HTTP request."""
        for sequence in generation.sequences:
            self._sequences[sequence.request.request_id] = sequence, generation
            self.send(sequence.request)

    def abort(self, request_ids: Iterable[str], reason: EndReason) -> None:
        """End these sequences, those that have not ended yet."""
        ended: list[str] = []
        for request_id in request_ids:
            in_flight = self._sequences.pop(request_id, None)
            if in_flight is not None:
                sequence, _ = in_flight
                self.metrics.observe_finish(sequence, reason, time.time())
                ended.append(request_id)
        if ended and not self._is_over:
            self.send(AbortRequests(request_ids=ended))

    def stuck(self, silence_seconds: float, step_seconds: float, pause_seconds: float = 0.0) -> str | None:
        """Why the engine counts as lost, or None while it does not. Until it is ready it owes no word.

        `pause_seconds`: how long this server itself was held up since it last asked. Whatever held it up may have held
        the engine up, too, as when all of a container is frozen.
        """
        self._read()  # what already lies in the socket is news, too
        now = time.monotonic()
        self._last_heard = min(self._last_heard + pause_seconds, now)
        self._step_pauses += pause_seconds
        silence = now - self._last_heard
        if self.ready is not None and silence > silence_seconds:
            return f"the engine has been silent for {silence:.0f} s"
        if self._step_age - self._step_pauses > step_seconds:
            return f"the engine's step has been running for {self._step_age:.0f} s"
        return None

    def send(self, message: ToCore) -> None:
        self._socket.send(encode(message), zmq.NOBLOCK)
        # The descriptor signals edges only, and sending may have consumed one: look again on the next turn.
        self._loop.call_soon(self._read)

    def _read(self) -> None:
        while not self._socket.closed:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._last_heard = time.monotonic()
            self._dispatch_frame(frame)

    def _dispatch_frame(self, frame: bytes) -> None:
        try:
            message = decode_for_server(frame)
        except msgspec.MsgspecError as error:
            self._on_failure(f"the engine sent a message this version cannot read ({error})")
        else:
            self._dispatch(message)

    async def slumber(self, order: Sleep | WakeUp) -> None:
        """Have the engine sleep or wake, and wait until it does. Raises ApiError 503."""
        if self._is_over:
            raise unavailable("the engine is lost")
        self.send(order)
        while True:
            news: asyncio.Future[SleepState] = self._loop.create_future()
            self._dozing.add(news)
            try:
                state = await news
            finally:
                self._dozing.discard(news)
            if state.fault:
                raise unavailable(f"The engine stays asleep: {state.fault}")
            if isinstance(order, Sleep) == bool(state.level):
                return

    def _dispatch(self, message: ToServer) -> None:
        if isinstance(message, StepOutputs):
            self._take_step(message)
        elif isinstance(message, Heartbeat):
            self._beat(message)
        elif isinstance(message, RequestRefused):
            self._refuse(message)
        elif isinstance(message, Ready):
            self.ready = message
            self._know(message.adapters)
            self._ready_event.set()
        elif isinstance(message, SleepState):
            self.sleep_level = message.level
            for news in self._dozing:
                if not news.done():
                    news.set_result(message)
        elif isinstance(message, Adapters):
            self._know(message.adapters)
        elif isinstance(message, AdapterAnswer):
            _tell(self._changing.popleft(), message)
        elif isinstance(message, WorkersAnswer):
            _tell(self._calling.popleft(), message)
        else:
            self._on_failure(message.message)

    def _know(self, adapters: list[Adapter]) -> None:
        self.adapters = {adapter.name: adapter for adapter in adapters}

    def _beat(self, beat: Heartbeat) -> None:
        if beat.step_age_seconds <= self._step_age:  # of another step, or of none
            self._step_pauses = 0.0
        self._step_age = beat.step_age_seconds

    def _take_step(self, step: StepOutputs) -> None:
        self._step_age = self._step_pauses = 0.0
        self._feed.put(step, time.time())

    def _hand_out(self, output: RequestOutput, now: float) -> None:
        """`now` is when its step was read."""
        in_flight = self._sequences.get(output.request_id)
        if in_flight is None:  # aborted while the output was on its way
            return
        sequence, generation = in_flight
        if output.finish_reason is not None:
            del self._sequences[output.request_id]
        self.metrics.observe_output(sequence, output, now)
        if output.spent is not None:
            sequence.spent = output.spent
        generation.put(sequence.index, output)

    def _end_step(self, stats: EngineStats) -> None:
        """After the last of its outputs."""
        self.metrics.observe_step(stats)
        self._num_waiting = stats.num_waiting
        self._others = max(0, stats.num_running + stats.num_waiting - len(self._sequences))

    def _refuse(self, refusal: RequestRefused) -> None:
        in_flight = self._sequences.pop(refusal.request_id, None)
        if in_flight is None:
            return
        error = ApiError(refusal.status, refusal.message, refusal.param)
        if refusal.status == 503:
            error.headers["retry-after"] = str(RETRY_AFTER_SECONDS)
        _, generation = in_flight
        generation.fail(error)


def _tell(asked: asyncio.Future[T], answer: T) -> None:
    if not asked.done():  # as it is when who asked was cancelled
        asked.set_result(answer)
