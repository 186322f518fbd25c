"""Builders: a valid object, plus the deviation that a test names."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.group import stateful_set
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.pod import pod_template
from paddock.operator.plan.revision import Rendering
from paddock.operator.resource import InferenceService
from paddock.operator.snapshot import Pod

HOST_PATHS = HostPathPolicy(True, ("/models",))
RENDERING = Rendering("1.0", "localhost/paddock-server:1.0")


@pytest.fixture
def make_service() -> Callable[..., InferenceService]:
    """An InferenceService named qwen3 in namespace models; keywords are fields of its spec."""

    def make(status: Mapping[str, Any] | None = None, generation: int = 1, **spec: Any) -> InferenceService:
        full = {"model": {"uri": "file:///models/tiny"}, "replicas": 2, **spec}
        return InferenceService("models", "qwen3", "uid-1", generation, full, status or {}, False)

    return make


@pytest.fixture
def make_blueprint(make_service: Callable[..., InferenceService]) -> Callable[..., Blueprint]:
    """The accepted form of make_service(...)."""

    def make(**given: Any) -> Blueprint:
        return Blueprint.of(make_service(**given), HOST_PATHS)

    return make


@pytest.fixture
def live_set() -> Callable[..., dict[str, Any]]:
    """A StatefulSet as the API server would show it, settled."""

    def make(blueprint: Blueprint, index: int, rendering: Rendering = RENDERING) -> dict[str, Any]:
        body = stateful_set(blueprint, index, pod_template(blueprint, rendering))
        meta = {**body["metadata"], "uid": f"set-{index}", "resourceVersion": "7", "generation": 3}
        return {**body, "metadata": meta, "status": {"observedGeneration": 3}}

    return make


@pytest.fixture
def make_pod() -> Callable[..., Pod]:
    """A ready pod of a group."""

    def make(group: int, revision: str, **changes: Any) -> Pod:
        fields: dict[str, Any] = {
            "name": f"qwen3-{group}-0",
            "uid": f"pod-{group}",
            "resource_version": "9",
            "group": group,
            "revision": revision,
            "ready": True,
            "stopping": False,
        }
        return Pod(**(fields | changes))

    return make


@pytest.fixture
def rendering() -> Rendering:
    return RENDERING
