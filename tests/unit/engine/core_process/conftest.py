"""The engine in its own process, with the tiny trained model."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import zmq

from paddock.engine.config import ServeConfig, parse_serve
from paddock.engine.launch import EngineProcess
from paddock.engine.messages import (
    AddRequest,
    Ready,
    RequestOutput,
    StepOutputs,
    ToServer,
    decode_for_server,
    encode,
)
from paddock.engine.sampling.params import SamplingParams

TINY_MODEL = Path(__file__).parents[3] / "models" / "tiny" / "model"
SMALL = ["--max-model-len", "256", "--num-gpu-blocks-override", "64"]


class Connection:
    """A DEALER that waits a minute for each message: loading is the slow part."""

    def __init__(self, address: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 60_000)
        self.socket.connect(address)

    def send(self, message: object) -> None:
        self.socket.send(encode(message))

    def receive(self, kind: type[ToServer]) -> ToServer:
        while True:
            message = decode_for_server(self.socket.recv())
            if isinstance(message, kind):
                return message

    def generate(self, prompt: list[int], max_tokens: int) -> list[int]:
        """Greedy tokens for a prompt."""
        sampling = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
        self.send(AddRequest("a", prompt, sampling, 0.0))
        token_ids: list[int] = []
        while True:
            for output in self.outputs():
                token_ids += output.new_token_ids
                if output.finish_reason is not None:
                    return token_ids

    def outputs(self) -> list[RequestOutput]:
        return self.receive(StepOutputs).outputs

    def close(self) -> None:
        self.socket.close()
        self.context.term()


def configure(model: Path | str, *arguments: str) -> ServeConfig:
    return parse_serve([str(model), *SMALL, *arguments], {})


class Engines:
    """Starts engines and connects to them; all end with the test."""

    model = TINY_MODEL
    ready = Ready
    configure = staticmethod(configure)

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, *arguments: str, model: Path = TINY_MODEL) -> EngineProcess:
        engine = EngineProcess.start(configure(model, *arguments), model)
        self._stack.callback(engine.stop)
        return engine

    def connect(self, engine: EngineProcess) -> Connection:
        return self._stack.enter_context(closing(Connection(engine.address)))


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engines]:
    monkeypatch.setenv("PADDOCK_CHECK_INTEGRITY", "1")
    with ExitStack() as stack:
        yield Engines(stack)
