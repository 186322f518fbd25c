"""Leader election on a clock that only the test moves, against a store that behaves as the API server does."""

import asyncio
from typing import Any

import pytest

from paddock.operator.client import ApiError
from paddock.operator.lease import Lease


class Store:
    """Leases with optimistic locking; `down` makes every request fail."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.version = 0
        self.down = False

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        self._fail()
        return None if self.body is None else {**self.body, "spec": dict(self.body["spec"])}

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._fail()
        if self.body is not None:
            raise ApiError(409, "AlreadyExists", "exists")
        return self._store(manifest)

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._fail()
        assert self.body is not None
        if manifest["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "changed meanwhile")
        return self._store(manifest)

    def _store(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}
        return self.body

    def _fail(self) -> None:
        if self.down:
            raise ConnectionRefusedError("the API server is away")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(store: Store, clock: Clock, identity: str) -> Lease:
    return Lease(store, "paddock", "paddock-operator", identity, clock=clock)  # type: ignore[arg-type]


def attempt(claim: Lease) -> bool:
    return asyncio.run(claim._attempt())


def test_the_first_candidate_leads_and_the_second_waits(store: Store, clock: Clock) -> None:
    first, second = lease(store, clock, "a"), lease(store, clock, "b")
    assert attempt(first)
    assert first.is_held()
    assert not attempt(second)
    assert not second.is_held()


def test_a_leader_that_cannot_renew_stops_before_another_may_start(store: Store, clock: Clock) -> None:
    first, second = lease(store, clock, "a"), lease(store, clock, "b")
    attempt(first)
    attempt(second)
    clock.now += 9.9
    assert first.is_held()
    clock.now += 0.2
    assert not first.is_held()
    assert not attempt(second)
    clock.now += 5
    assert attempt(second)


def test_a_renewed_lease_is_not_taken_however_old(store: Store, clock: Clock) -> None:
    first, second = lease(store, clock, "a"), lease(store, clock, "b")
    for _ in range(20):
        attempt(first)
        assert not attempt(second)
        clock.now += 8


def test_expiry_is_judged_by_our_own_clock_from_what_we_saw(store: Store, clock: Clock) -> None:
    first, second = lease(store, clock, "a"), lease(store, clock, "b")
    attempt(first)
    clock.now += 3600
    assert not attempt(second), "a candidate that has just come has seen nothing expire"
    clock.now += 15.1
    assert attempt(second)


def test_an_api_server_that_is_away_loses_the_lease_but_not_the_process(store: Store, clock: Clock) -> None:
    claim = lease(store, clock, "a")
    attempt(claim)
    store.down = True
    clock.now += 11
    assert not attempt(claim)
    assert not claim.is_held()
    store.down = False
    assert attempt(claim)


def test_a_released_lease_is_taken_at_once(store: Store, clock: Clock) -> None:
    first, second = lease(store, clock, "a"), lease(store, clock, "b")
    attempt(first)
    asyncio.run(first.release())
    assert not first.is_held()
    assert attempt(second)
    assert store.body is not None
    assert store.body["spec"]["leaseTransitions"] == 1


def test_releasing_never_takes_the_lease_from_its_new_holder(store: Store, clock: Clock) -> None:
    first, second = lease(store, clock, "a"), lease(store, clock, "b")
    attempt(first)
    attempt(second)
    clock.now += 16
    attempt(second)
    asyncio.run(first.release())
    assert store.body is not None
    assert store.body["spec"]["holderIdentity"] == "b"


def test_a_holder_keeps_the_time_at_which_it_began(store: Store, clock: Clock) -> None:
    claim = lease(store, clock, "a")
    attempt(claim)
    assert store.body is not None
    began = store.body["spec"]["acquireTime"]
    attempt(claim)
    assert store.body["spec"]["acquireTime"] == began
    assert store.body["spec"]["leaseTransitions"] == 0
