"""Lists of children fill what is known, and tell what went unseen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from paddock.operator import relisting
from paddock.operator.children import Children
from paddock.operator.client import Api, ApiError
from paddock.operator.relisting import Relisting
from paddock.operator.workqueue import Key


def item(kind: str, name: str, version: int) -> dict[str, Any]:
    meta = {"namespace": "models", "name": name, "uid": f"{kind}-{name}", "resourceVersion": str(version)}
    return {"metadata": {**meta, "labels": {"paddock.dev/service": name}}}


class Server:
    """Pages of one object each; the first `failures` requests get a 503."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.pods = ["a", "b"]

    async def pages(
        self, kind: str, namespace: str | None, labels: str
    ) -> AsyncIterator[tuple[Sequence[dict[str, Any]], str]]:
        if self.failures:
            self.failures -= 1
            raise ApiError(503, "ServiceUnavailable", "later")
        for name in self.pods if kind == "Pod" else ():
            yield [item(kind, name, 5)], "10"
        yield [], "10"


def test_a_list_of_several_pages_is_taken_in_whole() -> None:
    children = Children()

    asyncio.run(Relisting(cast(Api, Server()), children).fill())

    assert [each["kind"] for each in children.of(("models", "a"), "Pod")] == ["Pod"]
    assert len(children) == 2


def test_nothing_is_known_before_every_list_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relisting, "RETRY_SECONDS", 0.0)
    children = Children()

    asyncio.run(Relisting(cast(Api, Server(failures=3)), children).fill())

    assert len(children) == 2


def test_who_lost_a_child_while_no_watch_looked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relisting, "GATHER_SECONDS", 0.0)
    server, children, told = Server(), Children(), set[Key]()
    lists = Relisting(cast(Api, server), children)

    async def lose_one() -> None:
        await lists.fill()
        server.pods.remove("b")
        lists.want("Pod")
        keeping = asyncio.create_task(lists.keep(told.add))
        while not told:
            await asyncio.sleep(0)
        keeping.cancel()

    asyncio.run(lose_one())

    assert told == {("models", "b")}
    assert children.of(("models", "b"), "Pod") == []
