"""Several engines behind one server: who gets a request, and what is told of each."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from echo_engine import EchoEngine

from paddock.engine.config import CacheConfig
from paddock.engine.messages import AddRequest, EngineStats, StepOutputs
from paddock.engine.sampling.params import SamplingParams
from paddock.server.engine_client import EngineClient
from paddock.server.errors import ApiError
from paddock.server.generation.stream import Generation
from paddock.server.metrics import Metrics
from paddock.server.tokens.tokenizer import Tokenizer

SECONDS = 10


@pytest.fixture
def engines(tmp_path: Path, tokenizer: Tokenizer) -> Iterator[list[EchoEngine]]:
    """Three that take requests and answer nothing."""
    made = [EchoEngine(f"ipc://{tmp_path}/{index}", tokenizer) for index in range(3)]
    for engine in made:
        engine.hold_after = 0
        engine.start()
    yield made
    for engine in made:
        engine.stop()


Use = Callable[[EngineClient], Awaitable[None]]


def with_client(engines: list[EchoEngine], use: Use, first_rank: int = 0, first_turn: int = 0) -> Metrics:
    async def run() -> Metrics:
        metrics = Metrics("tiny", engine=first_rank)
        addresses = {first_rank + index: engine.address for index, engine in enumerate(engines)}
        client = EngineClient(addresses, metrics, 5.0, first_turn=first_turn)
        try:
            await client.connect("test")
            for link in client.links.values():
                assert link.ready is not None
                link.metrics.set_engine(link.ready, CacheConfig())
            await use(client)
        finally:
            client.close()
        return metrics

    return asyncio.run(asyncio.wait_for(run(), SECONDS))


def start(client: EngineClient, name: str, n: int = 1) -> Generation:
    sampling = SamplingParams(max_tokens=4)
    return client.start([AddRequest(f"{name}-{i}", [5, 6], sampling, time.time()) for i in range(n)])


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def names(engine: EchoEngine) -> list[str]:
    return [request.request_id for request in engine.seen]


def test_equals_take_turns_and_the_choices_of_a_request_stay_together(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        for name in "abcd":
            start(client, name, n=2)
        await eventually(lambda: sum(len(engine.seen) for engine in engines) == 8)

    with_client(engines, use, first_turn=4)
    assert [names(engine) for engine in engines] == [
        ["c-0", "c-1"],
        ["a-0", "a-1", "d-0", "d-1"],
        ["b-0", "b-1"],
    ]


def test_the_engine_with_the_least_to_do_is_chosen_and_those_who_wait_weigh_more(
    engines: list[EchoEngine],
) -> None:
    async def use(client: EngineClient) -> None:
        for rank, (num_running, num_waiting) in enumerate(((6, 0), (1, 2), (7, 0))):
            stats = EngineStats(num_running, num_waiting, 0.0, 0, 0, 0, 0, 0)
            client.links[rank]._dispatch(StepOutputs([], stats))
        await eventually(lambda: [link.load for link in client.links.values()] == [6, 9, 7])
        for name in "ab":
            start(client, name)
        assert [link.num_sequences for link in client.links.values()] == [1, 0, 1]
        for name in "cd":
            start(client, name)
        assert [link.num_sequences for link in client.links.values()] == [2, 0, 2]

    with_client(engines, use)


def test_a_finished_or_left_request_makes_room_on_its_engine_alone(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        generations = [start(client, name) for name in "abc"]
        await eventually(lambda: all(engine.running for engine in engines))
        generations[1].disconnect()
        await eventually(lambda: not engines[1].running)
        assert names(engines[1]) == engines[1].aborted == ["b-0"]
        assert engines[0].aborted == engines[2].aborted == []
        await eventually(lambda: client.links[1].load == 0)
        start(client, "d")
        assert client.links[1].num_sequences == 1

    with_client(engines, use)


def test_the_loss_of_one_engine_ends_the_requests_of_all_and_names_it(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        generations = [start(client, name) for name in "abc"]
        client.links[6]._dispatch_frame(b"\xc1garbage")
        for generation in generations:
            with pytest.raises(ApiError, match="data-parallel rank 6: the engine sent a message"):
                await generation.next()
        assert client.num_sequences == 0
        assert "data-parallel rank 6" in str(client.failure)
        with pytest.raises(ApiError):
            start(client, "d")

    with_client(engines, use, first_rank=5)


def test_an_engine_that_falls_silent_is_named_and_lost(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        generations = [start(client, name) for name in "abc"]
        engines[1].silent = True
        client.links[1]._last_heard -= 11
        for generation in generations:
            with pytest.raises(ApiError, match="data-parallel rank 1: the engine has been silent for 11 s"):
                await generation.next()

    with_client(engines, use)


def test_a_step_that_never_ends_is_named_and_lost(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        engines[2].step_age = 6.0
        await eventually(lambda: client.failure is not None)
        assert client.failure == "data-parallel rank 2: the engine's step has been running for 6 s"

    with_client(engines, use)


def test_a_pause_of_the_server_is_no_silence_of_the_engine(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        link, client._silence_timeout = client.links[0], 3600.0
        engines[0].stop()
        await eventually(lambda: not link._socket.poll(50))  # what was on its way
        link._last_heard -= 60
        assert link.stuck(10, 5, pause_seconds=59) is None
        link._last_heard -= 10
        assert link.stuck(10, 5) == "the engine has been silent for 11 s"

    with_client(engines, use)


def test_a_pause_of_the_server_is_no_time_of_the_step_either(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        link, client._step_timeout = client.links[0], 3600.0

        async def age(seconds: float) -> None:
            engines[0].step_age = seconds
            await eventually(lambda: link._step_age == seconds)

        await age(1.0)
        await age(61.0)  # frozen between the two, with the server
        assert link.stuck(10, 5, pause_seconds=60) is None
        await age(70.0)
        assert link.stuck(10, 5) == "the engine's step has been running for 70 s"
        await age(1.0)
        await age(9.0)
        assert link.stuck(10, 5) == "the engine's step has been running for 9 s"

    with_client(engines, use)


def test_an_engine_that_is_not_ready_owes_no_word(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        link, client._silence_timeout = client.links[0], 3600.0
        engines[0].stop()
        link.ready = None
        link._last_heard -= 600
        assert link.stuck(10, 5) is None

    with_client(engines, use)


def test_every_engine_has_series_of_its_own(engines: list[EchoEngine]) -> None:
    async def use(client: EngineClient) -> None:
        start(client, "a")
        engines[0].hold_after = None
        await eventually(lambda: client.num_sequences == 0)
        client.reset_prefix_cache()
        await eventually(lambda: [engine.resets for engine in engines] == [1, 1, 1])

    text = with_client(engines, use, first_rank=2).render().decode()
    for rank, tokens in ((2, 4.0), (3, 0.0), (4, 0.0)):
        assert f'vllm:generation_tokens_total{{engine="{rank}",model_name="tiny"}} {tokens}' in text
