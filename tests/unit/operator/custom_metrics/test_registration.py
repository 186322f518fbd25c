"""The registration of the custom metrics API comes and goes with whoever answers, and another's is left alone."""

import asyncio
from typing import Any, cast

import pytest

from paddock.operator.client import ApiError
from paddock.operator.custom_metrics.registration import NAME, NAMES, Registration


class Server:
    """Holds the chart's ClusterRole or no more, and one APIService or none in either version."""

    def __init__(self, live: dict[str, Any] | None = None, *, installed: bool = True) -> None:
        self.live = live
        self.older: dict[str, Any] | None = None
        self.installed = installed

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        if kind == "ClusterRole":
            assert name == "metrics-api"
            return {"metadata": {"uid": "role"}} if self.installed else None
        assert (kind, namespace) == ("APIService", "")
        return {NAME: self.live, NAMES[0]: self.older}[name]

    async def make(self, manifest: dict[str, Any]) -> None:
        if self.live is not None:
            raise ApiError(409, "Conflict", "there is one")
        self.live = {**manifest, "metadata": {**manifest["metadata"], "uid": "u"}}

    async def delete(self, *seen: str | None) -> None:
        assert seen == ("APIService", "", NAME, "u", None)
        self.live = None


THEIRS = {"spec": {"service": {"namespace": "monitoring", "name": "adapter"}}}


def registration(server: object) -> Registration:
    return Registration(cast(Any, server), "paddock-system", "metrics-api", b"authority", "paddock")


def test_an_orderly_end_takes_it_away_and_the_next_leader_puts_it_back() -> None:
    server = Server()

    asyncio.run(registration(server).put_back())
    assert server.live is not None
    assert server.live["spec"]["service"] == {
        "namespace": "paddock-system",
        "name": "metrics-api",
        "port": 443,
    }
    metadata = server.live["metadata"]
    assert [(owner["kind"], owner["uid"]) for owner in metadata["ownerReferences"]] == [
        ("ClusterRole", "role")
    ]
    assert metadata["annotations"]["meta.helm.sh/release-name"] == "paddock"
    asyncio.run(registration(server).withdraw())

    assert server.live is None


def test_after_an_uninstall_nothing_is_put_back() -> None:
    server = Server(installed=False)

    asyncio.run(registration(server).put_back())

    assert server.live is None


def test_that_of_another_adapter_stays_as_it_is() -> None:
    server = Server(THEIRS)

    asyncio.run(registration(server).put_back())
    asyncio.run(registration(server).withdraw())

    assert server.live is THEIRS


def test_ours_makes_room_for_an_adapter_of_another_version_and_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    ours = registration(server)
    asyncio.run(ours.put_back())

    server.older = THEIRS
    asyncio.run(ours.put_back())
    assert server.live is None
    assert ours.taken is not None
    assert "Service adapter in namespace monitoring" in ours.taken
    asyncio.run(ours.put_back())
    server.older = None
    asyncio.run(ours.put_back())

    assert server.live is not None
    assert ours.taken is None
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [message.split(" ")[0] for message in warned] == [NAMES[0], "nobody"]


def test_whoever_is_scaled_by_the_operator_hears_of_a_change() -> None:
    heard: list[str | None] = []

    async def look_once() -> None:
        ours = registration(Server(THEIRS))
        keeping = asyncio.create_task(ours.keep(lambda: heard.append(ours.taken)))
        while not heard:
            await asyncio.sleep(0)
        keeping.cancel()

    asyncio.run(look_once())

    assert [NAME in str(each) for each in heard] == [True]


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "may not"), OSError("refused"), TimeoutError()])
def test_no_failure_keeps_the_operator_from_beginning_or_ending(error: Exception) -> None:
    class Failing:
        async def make(self, _: object) -> None:
            raise error

        async def get(self, *_: str) -> None:
            raise error

    asyncio.run(registration(Failing()).put_back())
    asyncio.run(registration(Failing()).withdraw())


def test_a_failure_that_lasts_is_said_once_and_again_after_a_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Moody(Server):
        rights = False

        async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
            if not self.rights:
                raise ApiError(403, "Forbidden", "may not get apiservices")
            return await super().get(kind, namespace, name)

    server = Moody()
    ours = registration(server)
    for server.rights in (False, False, True, True, False, False):
        asyncio.run(ours.put_back())

    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 2
    assert all("may not get apiservices" in message for message in warned)
