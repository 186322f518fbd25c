"""The loop between socket and core, over a real ROUTER and DEALERs, with an executor that needs no model."""

import os
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import msgspec
import pytest
import zmq

from paddock.engine.core import EngineCore
from paddock.engine.lifeline import Lifeline
from paddock.engine.message_loop import EngineFailedError, MessageLoop, bind
from paddock.engine.messages import (
    AbortRequests,
    EngineFailed,
    Heartbeat,
    Hello,
    Ready,
    RequestRefused,
    ResetPrefixCache,
    StepOutputs,
    decode_for_server,
    encode,
)

READY = Ready("1.2.3", 64, 997, [], 4, 64, "float32")


class Server:
    """A DEALER with a patience of ten seconds per message."""

    def __init__(self, context: zmq.Context, address: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 10_000)
        self.socket.connect(address)

    def send(self, *messages) -> None:
        for message in messages:
            self.socket.send(encode(message))

    def receive(self, kind):
        """The next message of this kind; others are passed over."""
        while True:
            message = decode_for_server(self.socket.recv())
            if isinstance(message, kind):
                return message

    def outputs_of(self, request_id: str) -> list[int]:
        """The request's tokens, until it has finished."""
        token_ids: list[int] = []
        while True:
            for output in self.receive(StepOutputs).outputs:
                if output.request_id == request_id:
                    token_ids += output.new_token_ids
                    if output.finish_reason is not None:
                        return token_ids


@pytest.fixture
def serve(engine, tmp_path):
    """Run a loop over an executor in a thread; it ends with the test."""
    with ExitStack() as stack:
        yield lambda executor=None: stack.enter_context(running_loop(engine, tmp_path, executor))


class running_loop:
    def __init__(self, engine, tmp_path, executor) -> None:
        settings = engine.settings
        self.context = zmq.Context()
        self.address = f"ipc://{tmp_path}/engine"
        self.core = EngineCore(executor or engine.executor(settings, 64), settings)
        self.failures: list[EngineFailedError] = []
        self.servers: list[Server] = []
        reading, self.lifeline = os.pipe()
        self.socket = bind(self.context, self.address)
        self.loop = MessageLoop(
            self.core, self.socket, READY, Lifeline(reading, grace_seconds=3600), check_integrity=True
        )
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        try:
            self.loop.run()
        except EngineFailedError as error:
            self.failures.append(error)

    def connect(self, greet: bool = True, follows_steps: bool = False) -> Server:
        self.servers.append(Server(self.context, self.address))
        if greet:
            self.servers[-1].send(Hello("1.2.3", follows_steps))
            assert self.servers[-1].receive(Ready) == READY
        return self.servers[-1]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.lifeline)
        self.thread.join(timeout=10)
        assert not self.thread.is_alive()
        for server in self.servers:
            server.socket.close()
        self.socket.close()
        self.context.term()


class SlowExecutor:
    """Wraps an executor; a step waits until it is let go."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.entered, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def collect(self):
        self.entered.set()
        assert self.go.wait(timeout=30)
        return self.inner.collect()


def test_a_request_is_answered_token_by_token(serve, engine) -> None:
    server = serve().connect()

    server.send(engine.ask("a", [5, 6, 7], max_tokens=6))

    assert server.outputs_of("a") == engine.continuation([5, 6, 7], 6, 997)


def test_each_server_gets_its_own_outputs_even_for_equal_request_ids(serve, engine) -> None:
    loop = serve()
    first, second = loop.connect(), loop.connect()

    first.send(engine.ask("same", [1], max_tokens=8))
    second.send(engine.ask("same", [2], max_tokens=8))

    assert first.outputs_of("same") == engine.continuation([1], 8, 997)
    assert second.outputs_of("same") == engine.continuation([2], 8, 997)


def test_a_server_that_follows_the_steps_hears_of_each_one_also_without_requests_of_its_own(
    serve, engine
) -> None:
    loop = serve()
    follower, asking = loop.connect(follows_steps=True), loop.connect()

    asking.send(engine.ask("a", [1, 2, 3], max_tokens=8))
    asking.outputs_of("a")

    told = [follower.receive(StepOutputs).stats for _ in range(loop.core.num_steps)]
    assert sum(stats.num_prompt_tokens for stats in told) == 3
    assert sum(stats.num_generation_tokens for stats in told) == 8
    assert [stats.num_generation_tokens for stats in told] == [1] * 8


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\xff" * 100,
        b"\xc1",
        msgspec.msgpack.encode(["AddRequest", 1, 2]),
        b"\x91" * 5000,
        b"\x93\xa5Hello",
    ],
)
def test_a_frame_that_cannot_be_read_is_dropped_and_nothing_else_happens(serve, engine, frame) -> None:
    server = serve().connect()

    server.socket.send(frame)
    server.socket.send_multipart([b"two", b"frames"])
    server.send(engine.ask("a", [9], max_tokens=2))

    assert server.outputs_of("a") == engine.continuation([9], 2, 997)


def test_a_server_of_another_version_is_told_so(serve) -> None:
    server = serve().connect(greet=False)

    server.send(Hello("9.9.9"))

    assert "1.2.3 and the server 9.9.9" in server.receive(EngineFailed).message


def test_requests_before_the_greeting_are_not_taken(serve, engine) -> None:
    loop = serve()
    stranger = loop.connect(greet=False)

    stranger.send(engine.ask("a", [1]), Hello("1.2.3"))

    assert isinstance(decode_for_server(stranger.socket.recv()), Ready)
    assert not loop.core.has_work


def test_a_refused_request_is_answered_with_the_reason(serve, engine) -> None:
    server = serve().connect()

    server.send(engine.ask("long", [1] * 64))

    refusal = server.receive(RequestRefused)
    assert (refusal.request_id, refusal.status, refusal.param) == ("long", 400, "prompt")


def test_an_abort_that_leaves_the_engine_idle_is_visible_in_the_statistics(serve, engine) -> None:
    executor = SlowExecutor(engine.executor(engine.settings, 64))
    server = serve(executor).connect()
    server.send(engine.ask("a", [1], max_tokens=50))
    assert executor.entered.wait(10)
    server.send(AbortRequests(["a"]))
    executor.go.set()

    while (stats := server.receive(StepOutputs).stats).num_running:
        pass

    assert (stats.num_waiting, stats.kv_cache_usage) == (0, 0)


def test_counters_are_what_was_added_since_the_last_message_to_that_server(serve, engine) -> None:
    loop = serve()
    server, onlooker = loop.connect(), loop.connect()
    server.send(engine.ask("a", [1, 2, 3], max_tokens=5))

    frames = [server.receive(StepOutputs)]
    while frames[-1].stats.num_running:
        frames.append(server.receive(StepOutputs))
    seen = [onlooker.receive(StepOutputs)]
    while seen[-1].stats.num_running:
        seen.append(onlooker.receive(StepOutputs))

    for messages in (frames, seen):
        assert sum(message.stats.num_generation_tokens for message in messages) == 5
        assert sum(message.stats.num_prompt_tokens for message in messages) == 3
    assert not any(message.outputs for message in seen)


def test_an_idle_engine_beats_and_says_that_no_step_runs(serve) -> None:
    server = serve().connect()

    beats = [server.receive(Heartbeat), server.receive(Heartbeat)]

    assert [beat.step_age_seconds for beat in beats] == [0, 0]


def test_a_long_step_beats_with_its_growing_age(serve, engine) -> None:
    executor = SlowExecutor(engine.executor(engine.settings, 64))
    server = serve(executor).connect()
    server.send(engine.ask("a", [1], max_tokens=1))
    assert executor.entered.wait(10)

    ages = [server.receive(Heartbeat).step_age_seconds for _ in range(3)]
    executor.go.set()

    assert ages[-1] > ages[-2] >= 0
    assert server.outputs_of("a") == engine.continuation([1], 1, 997)


def test_a_server_that_vanishes_takes_its_requests_with_it(serve, engine) -> None:
    loop = serve()
    vanishing, staying = loop.connect(), loop.connect()
    vanishing.send(*(engine.ask(str(n), [n + 1], max_tokens=60) for n in range(12)))
    vanishing.receive(StepOutputs)
    vanishing.socket.close()

    staying.send(engine.ask("a", [3], max_tokens=3))

    assert staying.outputs_of("a") == engine.continuation([3], 3, 997)
    while loop.core.has_work:
        staying.receive((StepOutputs, Heartbeat))


def test_a_failed_step_is_told_to_every_server_and_ends_the_loop(serve, engine) -> None:
    executor = engine.executor(engine.settings, 64)
    executor.execute = lambda plan: 1 / 0
    loop = serve(executor)
    servers = [loop.connect(), loop.connect()]

    servers[0].send(engine.ask("a", [1]))

    for server in servers:
        assert "ZeroDivisionError" in server.receive(EngineFailed).message
    loop.thread.join(timeout=10)
    assert len(loop.failures) == 1


def test_resetting_the_prefix_cache_makes_the_next_prompt_miss(serve, engine) -> None:
    server = serve().connect()
    prompt = list(range(1, 21))
    hits = []
    for name in ("cold", "warm", "reset"):
        if name == "reset":
            server.send(ResetPrefixCache())
        server.send(engine.ask(name, prompt, max_tokens=1))
        hits.append(server.receive(StepOutputs).outputs[0].num_cached_tokens)

    assert hits == [0, 16, 0]


def test_an_idle_loop_uses_no_processor_time(serve) -> None:
    loop = serve()
    server = loop.connect()
    server.receive(Heartbeat)
    begin = SimpleNamespace(wall=time.monotonic(), cpu=time.process_time())

    server.receive(Heartbeat)
    server.receive(Heartbeat)

    assert time.process_time() - begin.cpu < 0.2 * (time.monotonic() - begin.wall)
