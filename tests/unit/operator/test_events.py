"""Events: counted instead of repeated, limited per object, and never in the way."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.client import ApiError
from paddock.operator.events import Recorder, event_body
from paddock.operator.plan.actions import Note
from paddock.operator.resource import InferenceService

NOTE = Note("GroupCreated", "Create", "Created group qwen3-0")


class Sink:
    """Keeps what is written; `broken` refuses it."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.counts: list[int] = []
        self.broken = False

    async def create(self, manifest: dict[str, Any]) -> None:
        if self.broken:
            raise ApiError(403, "Forbidden", "namespace is terminating")
        self.created.append(manifest)

    async def merge(self, kind: str, namespace: str, name: str, patch: dict[str, Any]) -> None:
        self.counts.append(patch["series"]["count"])


class Scene:
    def __init__(self) -> None:
        self.sink = Sink()
        self.now = 0.0
        self.recorder = Recorder(self.sink, "op-1", clock=lambda: self.now)  # type: ignore[arg-type]

    def record(self, service: InferenceService, note: Note = NOTE) -> None:
        asyncio.run(self.recorder.record(service, note))


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def service(make_service: Callable[..., InferenceService]) -> InferenceService:
    return make_service()


def test_the_same_news_is_counted(scene: Scene, service: InferenceService) -> None:
    for _ in range(3):
        scene.record(service)
    assert len(scene.sink.created) == 1
    assert scene.sink.counts == [2, 3]


def test_old_news_become_a_new_event(scene: Scene, service: InferenceService) -> None:
    scene.record(service)
    scene.now += 601
    scene.record(service)
    assert len(scene.sink.created) == 2


def test_a_noisy_object_is_limited_and_others_are_not(
    scene: Scene, service: InferenceService, make_service: Callable[..., InferenceService]
) -> None:
    for number in range(50):
        scene.record(service, Note("Crashing", "Reconcile", f"restart {number}", warning=True))
    assert len(scene.sink.created) == 20
    assert scene.recorder.dropped == 30
    scene.now += 30
    scene.record(service, Note("Available", "Serve", "back"))
    assert len(scene.sink.created) == 21


def test_an_event_that_cannot_be_written_stops_nothing(scene: Scene, service: InferenceService) -> None:
    scene.sink.broken = True
    scene.record(service)
    scene.sink.broken = False
    scene.record(service)
    assert len(scene.sink.created) == 1


def test_an_event_names_object_reason_and_time(service: InferenceService) -> None:
    body = event_body(
        service,
        Note("Refused", "Accept", "x" * 2000, warning=True),
        "e",
        "op-1",
        "2026-01-01T00:00:00.000000Z",
    )
    assert body["type"] == "Warning"
    assert len(body["note"]) == 1000
    assert body["regarding"]["uid"] == "uid-1"
    assert body["reportingController"] == "paddock.dev/operator"
