"""A small tokenizer, an engine that speaks the real messages and echoes, and a server on a loopback port."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import tokenizers
from echo_engine import CONTEXT, VOCABULARY, EchoEngine

from paddock.engine.config import CacheConfig, FrontendConfig
from paddock.server.app import create_app
from paddock.server.chat.template import load_chat_template
from paddock.server.engine_client import EngineClient
from paddock.server.generation.answer_parsers import AnswerParsers
from paddock.server.generation.sampling import ModelLimits
from paddock.server.http_server import HttpServer
from paddock.server.listener import bind
from paddock.server.metrics import Metrics
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.responses.store import ResponseStore
from paddock.server.sampling_defaults import SamplingDefaults
from paddock.server.serving import Serving
from paddock.server.tokens.tokenizer import Tokenizer
from paddock.server.tracing.spans import RequestSpans

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = ["<|im_start|>", "<|im_end|>"]
CORPUS = [
    "The quick brown fox jumps over the lazy dog. STOP right here, stop now.",
    "Grüße aus Köln, 日本語のテキスト, émoji 👩‍👩‍👧 and more 🙂🙃.",
    "def add(a, b):\n    return a + b\n\n",
] * 4


def train_byte_level(folder: Path) -> Path:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIALS,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _save(tokenizer, folder)


def train_byte_fallback(folder: Path) -> Path:
    """As SentencePiece models are: spaces as ▁, unknown characters as bytes, a space stripped in front."""
    from tokenizers import decoders

    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", *SPECIALS, *fallback], show_progress=False
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over a lazy dog"] * 8, trainer)
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = [
        token for token in document["added_tokens"] if token["content"] not in fallback
    ]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(document))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return _save(tokenizer, folder)


def _save(tokenizer: tokenizers.Tokenizer, folder: Path) -> Path:
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "bos_token": {"__type": "AddedToken", "content": "<|im_start|>", "special": True},
        "chat_template": CHATML,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def byte_level_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_byte_level(tmp_path_factory.mktemp("byte-level"))


@pytest.fixture(scope="session")
def byte_fallback_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_byte_fallback(tmp_path_factory.mktemp("byte-fallback"))


@pytest.fixture(scope="session")
def tokenizer(byte_level_folder: Path) -> Tokenizer:
    return Tokenizer(byte_level_folder)


class RunningServer:
    """The application on a port of its own, in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        address: str,
        frontend: FrontendConfig,
        limits: ModelLimits,
        *,
        log_requests: bool = False,
        development: dict[str, Any] | None = None,
        reasoning_parser: str = "",
        stores: bool = True,
        pooling: PoolingModel | None = None,
        spans: RequestSpans | None = None,
        changes_adapters: bool = False,
        sleeps: bool = False,
    ) -> None:
        self._changes_adapters = changes_adapters
        self._sleeps = sleeps
        self._stores = stores
        self._spans = spans
        self._pooling = pooling
        self._reasoning_parser = reasoning_parser
        self._listener = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.port: int = self._listener.getsockname()[1]
        self._build = (folder, address, frontend, limits)
        self._log_requests = log_requests
        self._development = development
        self._started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),), daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    async def _main(self) -> None:
        folder, address, frontend, limits = self._build
        self.loop = asyncio.get_running_loop()
        self.metrics = Metrics("tiny")
        self.client = EngineClient({0: address}, self.metrics, step_timeout_seconds=5.0)
        ready = await self.client.connect("test")
        self.metrics.set_engine(ready, CacheConfig())
        tokenizer = Tokenizer(folder)
        self.serving = Serving(
            model_names=("tiny", "alias"),
            root=str(folder),
            tokenizer=tokenizer,
            chat_template=load_chat_template(
                tokenizer, frontend.chat_template, frontend.chat_template_content_format
            ),
            defaults=SamplingDefaults(temperature=0.5),
            limits=limits,
            client=self.client,
            metrics=self.metrics,
            frontend=frontend,
            parsers=AnswerParsers.load(frontend, self._reasoning_parser, tokenizer),
            responses=ResponseStore() if self._stores else None,
            pooling=self._pooling,
            spans=self._spans,
            log_requests=self._log_requests,
            changes_adapters=self._changes_adapters,
            sleeps=self._sleeps,
            development=self._development,
        )
        self.http = HttpServer(create_app(self.serving, frontend), "warning")
        self.loop.call_soon(self._started.set)
        await self.http.serve_on(self._listener)
        self.client.close()

    def call(self, action: Callable[[], object]) -> None:
        """Run something on the server's loop."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (action(), done.set()))
        assert done.wait(10)

    def leave(self) -> None:
        """Begin to stop."""
        self.http.should_exit = True

    def stop(self) -> None:
        self.leave()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def leaving() -> Iterator[list[RunningServer]]:
    """Servers of tests that are over: all end, and take a fifth of a second each, for which the next need not wait."""
    told: list[RunningServer] = []
    yield told
    for server in told:
        server.stop()


@pytest.fixture
def engine(tokenizer: Tokenizer, tmp_path: Path) -> Iterator[EchoEngine]:
    engine = EchoEngine(f"ipc://{tmp_path}/engine.sock", tokenizer)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def start_server(
    byte_level_folder: Path, engine: EchoEngine, leaving: list[RunningServer]
) -> Iterator[Callable[..., RunningServer]]:
    started: list[RunningServer] = []

    def start(
        folder: Path = byte_level_folder,
        priority: bool = False,
        log_requests: bool = False,
        development: dict[str, Any] | None = None,
        reasoning_parser: str = "",
        pooling: PoolingModel | None = None,
        spans: RequestSpans | None = None,
        changes_adapters: bool = False,
        sleeps: bool = False,
        **frontend: Any,
    ) -> RunningServer:
        limits = ModelLimits(CONTEXT, VOCABULARY, 5, priority)
        server = RunningServer(
            folder,
            engine.address,
            FrontendConfig(**frontend),
            limits,
            log_requests=log_requests,
            development=development,
            reasoning_parser=reasoning_parser,
            pooling=pooling,
            spans=spans,
            changes_adapters=changes_adapters,
            sleeps=sleeps,
        )
        started.append(server)
        return server

    yield start
    for server in started:
        server.leave()
    leaving += started


@pytest.fixture
def server(start_server: Callable[..., RunningServer]) -> RunningServer:
    return start_server()


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def module_engine(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoEngine]:
    engine = EchoEngine(f"ipc://{tmp_path_factory.mktemp('engine')}/engine.sock", tokenizer)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def shared_engine(module_engine: EchoEngine) -> EchoEngine:
    """As it was at the start."""
    module_engine.forget()
    return module_engine


@pytest.fixture(scope="module")
def start_shared(
    byte_level_folder: Path, module_engine: EchoEngine
) -> Iterator[Callable[..., RunningServer]]:
    """Servers for all of a file, of one engine."""
    started: list[RunningServer] = []

    def start(
        reasoning_parser: str = "", stores: bool = True, spans: RequestSpans | None = None, **frontend: Any
    ) -> RunningServer:
        limits = ModelLimits(CONTEXT, VOCABULARY, 5)
        server = RunningServer(
            byte_level_folder, module_engine.address, FrontendConfig(**frontend), limits,
            reasoning_parser=reasoning_parser, stores=stores, spans=spans,
        )  # fmt: skip
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def shared_http(start_shared: Callable[..., RunningServer]) -> Iterator[httpx.Client]:
    """For tests that leave the server as it was: one server for all of a file."""
    with httpx.Client(base_url=start_shared().url, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition never became true"
            time.sleep(0.01)

    return wait
