"""The server's end of the engine's socket: requests out, one pass per frame of outputs in."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

import msgspec
import zmq

from paddock.engine.messages import (
    AbortRequests,
    AddRequest,
    EngineFailed,
    Heartbeat,
    Hello,
    Ready,
    RequestRefused,
    ResetPrefixCache,
    StepOutputs,
    ToCore,
    decode_for_server,
    encode,
)
from paddock.server.errors import ApiError, unavailable
from paddock.server.generation.stream import EndReason, Generation, Sequence
from paddock.server.metrics import Metrics

logger = logging.getLogger("paddock.server.engine")
HEARTBEAT_TIMEOUT_SECONDS = 10.0
RETRY_AFTER_SECONDS = 1


class EngineClient:
    """Owns one DEALER socket; made and used on one running event loop. All methods but `connect` return at once.

    The socket's descriptor is watched directly: a frame with the outputs of a whole step is read and handed out
    in one pass, without a task switch per token.
    """

    def __init__(
        self,
        address: str,
        metrics: Metrics,
        step_timeout_seconds: float,
        silence_timeout_seconds: float = HEARTBEAT_TIMEOUT_SECONDS,
    ) -> None:
        self._metrics = metrics
        self._step_timeout = step_timeout_seconds
        self._silence_timeout = silence_timeout_seconds
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.connect(address)
        descriptor = self._socket.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)
        self._sequences: dict[str, Sequence] = {}
        self._last_heard = time.monotonic()
        self._step_age = 0.0
        self.ready: Ready | None = None
        self._ready_event = asyncio.Event()
        self.failure: str | None = None
        self.draining = False
        self.on_failure: Callable[[], None] | None = None

    async def connect(self, version: str) -> Ready:
        """Greet the engine and wait until it can serve. Cancel it to give up."""
        self._send(Hello(version=version))
        await self._ready_event.wait()
        if self.ready is None:
            raise unavailable(self.failure or "the engine failed")
        return self.ready

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._socket.close()
        self._context.term()

    @property
    def num_sequences(self) -> int:
        """Sequences sent to the engine and not finished."""
        return len(self._sequences)

    def start(self, requests: list[AddRequest]) -> Generation:
        """Send the sequences of one HTTP request. Raises ApiError 503 when no work is taken now."""
        self.refuse_if_unavailable()
        generation = Generation(requests, self._abort)
        for sequence in generation.sequences:
            self._sequences[sequence.request.request_id] = sequence
            self._send(sequence.request)
        return generation

    def refuse_if_unavailable(self) -> None:
        if self.failure is not None:
            raise unavailable(self.failure)
        if self.draining:
            raise unavailable("The server is shutting down; send the request again.", RETRY_AFTER_SECONDS)

    def reset_prefix_cache(self) -> None:
        """Have the engine forget every cached block that no running request uses. Raises ApiError 503."""
        self.refuse_if_unavailable()
        self._send(ResetPrefixCache())

    def stuck(self) -> str | None:
        """Why the engine makes no progress, or None while it does."""
        if self.failure is not None:
            return self.failure
        self._read()  # what already lies in the socket is news, too
        silence = time.monotonic() - self._last_heard
        if silence > self._silence_timeout:
            return f"the engine has been silent for {silence:.0f} s"
        if self._step_age > self._step_timeout:
            return f"the engine's step has been running for {self._step_age:.0f} s"
        return None

    def fail(self, message: str) -> None:
        """The engine is lost: end every request with an error. Later calls change nothing."""
        if self.failure is not None:
            return
        self.failure = message
        logger.error("engine failed: %s", message)
        self.end_all(ApiError(500, f"The engine failed: {message}. Send the request again."))
        self._ready_event.set()
        if self.on_failure is not None:
            self.on_failure()

    def end_all(self, error: ApiError) -> None:
        """End every running request with this error, and tell the engine."""
        for generation in {sequence.generation for sequence in self._sequences.values()}:
            generation.fail(error)

    def _abort(self, request_ids: Iterable[str], reason: EndReason) -> None:
        ended: list[str] = []
        for request_id in request_ids:
            sequence = self._sequences.pop(request_id, None)
            if sequence is not None:
                self._metrics.observe_finish(sequence, reason, time.time())
                ended.append(request_id)
        if ended and self.failure is None:
            self._send(AbortRequests(request_ids=ended))

    def _send(self, message: ToCore) -> None:
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
            self.fail(f"the engine sent a message this version cannot read ({error})")
        else:
            self._dispatch(message)

    def _dispatch(self, message: StepOutputs | RequestRefused | Heartbeat | Ready | EngineFailed) -> None:
        if isinstance(message, StepOutputs):
            self._hand_out(message)
        elif isinstance(message, Heartbeat):
            self._step_age = message.step_age_seconds
        elif isinstance(message, RequestRefused):
            self._refuse(message)
        elif isinstance(message, Ready):
            self.ready = message
            self._ready_event.set()
        else:
            self.fail(message.message)

    def _hand_out(self, message: StepOutputs) -> None:
        now = time.time()
        self._step_age = 0.0
        sequences, metrics = self._sequences, self._metrics
        for output in message.outputs:
            sequence = sequences.get(output.request_id)
            if sequence is None:  # aborted while the output was on its way
                continue
            if output.finish_reason is not None:
                del sequences[output.request_id]
            metrics.observe_output(sequence, output, now)
            sequence.generation.put(sequence.index, output)
        metrics.observe_step(message.stats)

    def _refuse(self, refusal: RequestRefused) -> None:
        sequence = self._sequences.pop(refusal.request_id, None)
        if sequence is None:
            return
        error = ApiError(refusal.status, refusal.message, refusal.param)
        if refusal.status == 503:
            error.headers["retry-after"] = str(RETRY_AFTER_SECONDS)
        sequence.generation.fail(error)
