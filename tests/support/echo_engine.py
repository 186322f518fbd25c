"""An engine without a model: it speaks the real messages over the real socket and echoes."""

import threading
import time

import zmq

from paddock.engine.lora.adapter import Adapter
from paddock.engine.messages import (
    AbortRequests,
    AdapterAnswer,
    Adapters,
    AddRequest,
    EngineStats,
    Heartbeat,
    Hello,
    LoadAdapter,
    Ready,
    RequestOutput,
    RequestRefused,
    ResetPrefixCache,
    StepOutputs,
    TokenLogprob,
    UnloadAdapter,
    decode_for_core,
    encode,
)
from paddock.server.tokens.tokenizer import Tokenizer

CONTEXT = 256
VOCABULARY = 500
BEAT_SECONDS = 0.1


class EchoEngine(threading.Thread):
    """Answers each request with `script`, or with its own prompt over and over; one token per step."""

    def __init__(self, address: str, tokenizer: Tokenizer) -> None:
        super().__init__(daemon=True)
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.bind(address)
        self.address = address
        self._tokenizer = tokenizer
        self._eos = tokenizer.encode("<|im_end|>", False)[0]
        self._steps = 0
        self._peers: set[bytes] = set()
        self._next_beat = 0.0
        self.running: dict[str, tuple[bytes, AddRequest, list[int]]] = {}
        self.forget()
        self._over = threading.Event()

    def forget(self) -> None:
        """Behave as at the start, and know no earlier request."""
        self.seen: list[AddRequest] = []
        self.aborted: list[str] = []
        self.script: str | list[int] | None = None
        self.refusal: tuple[int, str] | None = None
        self.hold_after: int | None = None
        self.tokens_per_step = 1
        self.silent = False
        self.step_age = 0.0
        self.resets = 0
        self.fault: str | None = None
        self.adapters: dict[str, Adapter] = {}
        self.adapter_fault: AdapterAnswer | None = None

    def last_prompt(self) -> str:
        """The newest request's prompt as text, special tokens included."""
        return self._tokenizer.decode(self.seen[-1].prompt_token_ids, False)

    def run(self) -> None:
        while not self._over.is_set():
            self._receive()
            self._step()
            self._beat()
        self._socket.close(0)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _change_adapters(self, peer: bytes, order: LoadAdapter | UnloadAdapter) -> None:
        fault = self.adapter_fault
        if fault is None and isinstance(order, LoadAdapter):
            self.adapters[order.name] = Adapter(1, order.name, order.path, order.base_model_name)
        elif fault is None and self.adapters.pop(order.name, None) is None:
            fault = AdapterAnswer(404, f"There is no adapter {order.name!r}.")
        self._send(peer, Adapters(list(self.adapters.values())))
        self._send(peer, fault or AdapterAnswer())

    def _receive(self) -> None:
        while self._socket.poll(0 if self._busy() else 5):
            peer, frame = self._socket.recv_multipart()
            message = decode_for_core(frame)
            if isinstance(message, Hello):
                self._peers.add(peer)
                served = list(self.adapters.values())
                ready = Ready(
                    message.version, CONTEXT, VOCABULARY, [self._eos], 16, 64, "float32", adapters=served
                )
                self._send(peer, ready)
            elif isinstance(message, LoadAdapter | UnloadAdapter):
                self._change_adapters(peer, message)
            elif isinstance(message, AbortRequests):
                for request_id in message.request_ids:
                    self.aborted.append(request_id)
                    self.running.pop(request_id, None)
                self._send(peer, StepOutputs([], self._stats()))
            elif isinstance(message, ResetPrefixCache):
                self.resets += 1
            elif isinstance(message, AddRequest):
                self._add(peer, message)

    def _add(self, peer: bytes, request: AddRequest) -> None:
        self.seen.append(request)
        if self.refusal is not None:
            self._send(peer, RequestRefused(request.request_id, *self.refusal))
            return
        self.running[request.request_id] = (peer, request, self._answer(request))

    def _answer(self, request: AddRequest) -> list[int]:
        if self.script is None:
            prompt = request.prompt_token_ids
            return (prompt * (request.sampling.max_tokens // len(prompt) + 1))[: request.sampling.max_tokens]
        ids = (
            self._tokenizer.encode(self.script, False) if isinstance(self.script, str) else list(self.script)
        )
        return [*ids, self._eos][: request.sampling.max_tokens]

    def _busy(self) -> bool:
        return any(self._may_go(request_id) for request_id in self.running)

    def _may_go(self, request_id: str) -> bool:
        _, request, left = self.running[request_id]
        return self.hold_after is None or len(self._answer(request)) - len(left) < self.hold_after

    def _step(self) -> None:
        outputs: dict[bytes, list[RequestOutput]] = {}
        for request_id in [known for known in self.running if self._may_go(known)]:
            peer, request, left = self.running[request_id]
            outputs.setdefault(peer, []).append(self._output(request, left))
            if not left:
                del self.running[request_id]
        for peer, batch in outputs.items():
            self._steps += 1
            self._send(peer, StepOutputs(batch, self._stats(len(batch))))

    def _output(self, request: AddRequest, left: list[int]) -> RequestOutput:
        if self.fault is not None:
            left.clear()
            return RequestOutput(request.request_id, [], finish_reason="error", error=self.fault)
        first = len(left) == len(self._answer(request))
        new = left[: self.tokens_per_step]
        del left[: self.tokens_per_step]
        top = request.sampling.logprobs
        top_prompt = request.sampling.prompt_logprobs
        finish = None
        if not left:
            finish = "stop" if new[-1] == self._eos and self.script is not None else "length"
        return RequestOutput(
            request.request_id,
            new,
            logprobs=None if top is None else [self._logprobs(token, top) for token in new],
            prompt_logprobs=None
            if top_prompt is None or not first
            else [self._logprobs(token, top_prompt) for token in request.prompt_token_ids[1:]],
            finish_reason=finish,
            num_cached_tokens=3 if first else 0,
            scheduled_time=time.time() if first else None,
        )

    def _logprobs(self, token: int, top: int) -> list[TokenLogprob]:
        best = [TokenLogprob(10 + rank, -0.5 - rank, rank) for rank in range(1, top + 1)]
        return [TokenLogprob(token, float("-inf"), 99), *best]

    def _stats(self, tokens: int = 0) -> EngineStats:
        usage = 0.5 if self.running else 0.0
        return EngineStats(len(self.running), 0, usage, 8 * tokens, 3 * tokens, 0, 0, tokens)

    def _beat(self) -> None:
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + BEAT_SECONDS
            for peer in self._peers:
                self._send(peer, Heartbeat(self._steps, self.step_age))

    def _send(self, peer: bytes, message: object) -> None:
        if not self.silent:
            self._socket.send_multipart([peer, encode(message)])
