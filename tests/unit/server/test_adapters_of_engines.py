"""Several engines behind one server: an adapter is served by all of them or by none."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from echo_engine import EchoEngine

from paddock.engine.messages import AdapterAnswer, LoadAdapter, UnloadAdapter
from paddock.server.adapters import Adapters
from paddock.server.engine_client import EngineClient
from paddock.server.errors import ApiError
from paddock.server.metrics import Metrics
from paddock.server.tokens.tokenizer import Tokenizer

NO = AdapterAnswer(400, "no")


@pytest.fixture
def engines(tmp_path: Path, tokenizer: Tokenizer) -> Iterator[list[EchoEngine]]:
    made = [EchoEngine(f"ipc://{tmp_path}/{index}", tokenizer) for index in range(2)]
    for engine in made:
        engine.start()
    yield made
    for engine in made:
        engine.stop()


def with_adapters(engines: list[EchoEngine], use: Callable[[Adapters], Awaitable[None]]) -> None:
    async def run() -> None:
        addresses = {index: engine.address for index, engine in enumerate(engines)}
        client = EngineClient(addresses, Metrics("tiny"), 5.0)
        try:
            await client.connect("test")
            await use(client.adapters)
        finally:
            client.close()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_load_that_one_engine_refuses_leaves_all_as_they_were(engines: list[EchoEngine]) -> None:
    async def use(adapters: Adapters) -> None:
        await adapters.load(LoadAdapter("old", "/first"))
        engines[1].adapter_fault = NO
        for name in ("new", "old"):
            with pytest.raises(ApiError, match="no"):
                await adapters.load(LoadAdapter(name, "/second", in_place=True))
        assert [adapter.name for adapter in adapters.served] == ["old"]

    with_adapters(engines, use)

    for engine in engines:
        assert {name: adapter.path for name, adapter in engine.adapters.items()} == {"old": "/first"}


def test_an_adapter_of_one_engine_alone_is_not_served_and_can_be_unloaded(engines: list[EchoEngine]) -> None:
    async def use(adapters: Adapters) -> None:
        await adapters.load(LoadAdapter("half", "/path"))
        del engines[0].adapters["half"]
        await adapters.load(LoadAdapter("other", "/path"))
        assert (adapters.find("half"), len(adapters.served)) == (None, 1)
        await adapters.unload(UnloadAdapter("half"))
        with pytest.raises(ApiError, match="half"):
            await adapters.unload(UnloadAdapter("half"))

    with_adapters(engines, use)

    assert [list(engine.adapters) for engine in engines] == [["other"], ["other"]]


def test_who_waits_for_an_engine_that_is_lost_hears_of_it(engines: list[EchoEngine]) -> None:
    async def run() -> None:
        client = EngineClient({0: engines[0].address}, Metrics("tiny"), 5.0)
        await client.connect("test")
        waiting = asyncio.ensure_future(client.adapters.load(LoadAdapter("a", "/path")))
        await asyncio.sleep(0)
        client.fail("gone")
        with pytest.raises(ApiError, match="lost"):
            await waiting
        client.close()

    asyncio.run(asyncio.wait_for(run(), 10))
