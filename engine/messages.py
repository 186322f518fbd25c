"""What the API server and the engine core say to each other: msgpack over a ZeroMQ ROUTER (core) and DEALER (server).

Each message is one frame, encoded by `encode` and decoded by `decode_for_core` or `decode_for_server`. Structs are
tagged arrays, so a frame holds no field names. Times are `time.time()` in seconds, comparable on one machine.
"""

from typing import Literal

import msgspec

from paddock.engine.executor.method_call import MethodAnswer, MethodCall
from paddock.engine.lora.adapter import Adapter
from paddock.engine.pooling.params import PooledRows, PoolingParams
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.step_seconds import PhaseSeconds

FinishReason = Literal["stop", "length", "abort", "error"]


class Message(msgspec.Struct, array_like=True, tag=True):
    """Base of every message: a tagged array on the wire."""


class Hello(Message):
    """Server to core: the first message of a connection; answered by `Ready` once the engine can serve."""

    version: str
    follows_steps: bool = False
    """Whether it wants to hear of every step that computed something, also of those without output for it."""


class AddRequest(Message):
    """Server to core: start one sequence."""

    request_id: str
    prompt_token_ids: list[int]
    sampling: SamplingParams
    arrival_time: float
    priority: int = 0
    cache_salt: str | None = None
    pooling: PoolingParams | None = None
    """What is made of the prompt in place of an answer; None where the model generates."""
    adapter: str | None = None
    """Name of the one whose weights are added; None for the base model."""


class AbortRequests(Message):
    """Server to core: end these sequences now; their blocks are free within the same step. No output follows."""

    request_ids: list[str]


class ResetPrefixCache(Message):
    """Server to core: forget every cached block that no running request uses."""


class LoadAdapter(Message):
    """Server to core: serve the adapter that lies at `path`; answered by `AdapterAnswer`."""

    name: str
    path: str
    base_model_name: str | None = None
    in_place: bool = False
    """Whether one of that name is to be replaced."""


class UnloadAdapter(Message):
    """Server to core: take no more requests for it; answered by `AdapterAnswer`."""

    name: str


class CallWorkers(Message):
    """Server to core: have every worker call a method of the user's; answered by `WorkersAnswer`."""

    call: MethodCall

    @property
    def name(self) -> str:
        return self.call.method


class WorkersAnswer(Message):
    """Core to server: what the workers made of its last call, by rank."""

    answers: list[MethodAnswer]


class Sleep(Message):
    """Server to core: finish what runs, then give memory back; answered by `SleepState`."""

    level: int
    """1: the KV cache; 2: the weights as well."""


class WakeUp(Message):
    """Server to core: take the memory again; answered by `SleepState`."""


class SleepState(Message):
    """Core to server: to all when it has changed, and to who gave an order that changed nothing."""

    level: int
    """0 is awake."""
    fault: str = ""
    """Why the order could not be carried out, in words for the user."""


class Ready(Message):
    """Core to server: the model is loaded and a request would be served."""

    version: str
    max_model_len: int
    vocab_size: int
    eos_token_ids: list[int]
    block_size: int
    num_blocks: int
    model_dtype: str
    weight_bytes: int = 0
    kv_bytes_per_token: int = 0
    """Both over all ranks, with what several hold copies of."""
    adapters: list[Adapter] = []
    """Those that are served now; `Adapters` tells of changes."""


class AdapterAnswer(Message):
    """Core to server: what became of its last order to load or unload; `Adapters` came before where something changed."""

    status: int = 200
    """As of HTTP."""
    message: str = ""
    """Why not, in words for the user."""


class Adapters(Message):
    """Core to server, whenever it changes: all adapters that are served."""

    adapters: list[Adapter]


class TokenLogprob(msgspec.Struct, array_like=True, frozen=True):
    token_id: int
    logprob: float
    rank: int
    """1 is the most likely token of the vocabulary."""


PositionLogprobs = list[TokenLogprob]
"""The sampled (or prompt) token first, then the top ones in falling order; the first may appear twice."""


class RequestOutput(Message):
    """What one step brought to one request."""

    request_id: str
    new_token_ids: list[int]
    logprobs: list[PositionLogprobs] | None = None
    prompt_logprobs: list[PositionLogprobs] | None = None
    """With the first output only; entry i belongs to prompt token i + 1."""
    finish_reason: FinishReason | None = None
    stop_reason: int | None = None
    """The stop token id that ended the request (not EOS)."""
    num_cached_tokens: int = 0
    """Prompt tokens taken from the prefix cache; with the first output."""
    scheduled_time: float | None = None
    """When the request first left the waiting queue; with the first output."""
    num_preemptions: int = 0
    error: str | None = None
    """With the finish reason "error": what went wrong with this request alone, in words for its user."""
    pooled: PooledRows | None = None
    """Of a pooling model, with its only output."""
    spent: PhaseSeconds | None = None
    """So far, where steps are timed."""


class RequestRefused(Message):
    """Core to server: the request was not taken. 503 means the waiting queue is full: try again later."""

    request_id: str
    status: int
    message: str
    param: str | None = None


class EngineStats(Message):
    """A snapshot after a step (gauges) and what the step added (counters)."""

    num_running: int
    num_waiting: int
    kv_cache_usage: float
    """Share of blocks in use, 0 to 1."""
    prefix_cache_queries: int
    """Prompt tokens looked up since the last message."""
    prefix_cache_hits: int
    """Prompt tokens found since the last message."""
    num_preemptions: int
    """Requests preempted since the last message."""
    num_prompt_tokens: int
    """Prompt tokens computed since the last message."""
    num_generation_tokens: int
    running_adapters: list[str] = []
    """Names of those that running requests use."""
    waiting_adapters: list[str] = []
    num_swapped: int = 0
    """Of the waiting requests, those whose blocks are in host memory."""
    swap_space_usage: float = 0.0
    """Share of its blocks in use, 0 to 1; 0 without one."""


class StepOutputs(Message):
    """Core to server, after a step: the outputs for this server's requests, and the engine's state."""

    outputs: list[RequestOutput]
    stats: EngineStats


class Heartbeat(Message):
    """Core to server each second from a thread of its own: the age of the step in progress tells a hang from an idle engine."""

    step: int
    step_age_seconds: float
    """How long the current step has been running; 0 when the engine is idle between steps."""


class EngineFailed(Message):
    """Core to server: the engine cannot go on; every request in flight is lost and the process will exit."""

    message: str


ToCore = (
    Hello
    | AddRequest
    | AbortRequests
    | ResetPrefixCache
    | LoadAdapter
    | UnloadAdapter
    | CallWorkers
    | Sleep
    | WakeUp
)
ToServer = (
    Ready
    | SleepState
    | Adapters
    | AdapterAnswer
    | WorkersAnswer
    | StepOutputs
    | RequestRefused
    | Heartbeat
    | EngineFailed
)

encode = msgspec.msgpack.Encoder().encode
decode_for_core = msgspec.msgpack.Decoder(ToCore).decode
decode_for_server = msgspec.msgpack.Decoder(ToServer).decode
