"""When a service is looked at again: what no watch tells of must be looked at before long."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
from serving import free_port

from paddock.operator.children import Children
from paddock.operator.plan.actions import Note
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.network_policy import Isolation
from paddock.operator.plan.revision import Rendering
from paddock.operator.reconcile import SETTLED_SECONDS, SILENT_SECONDS, Reconciler
from paddock.operator.reports import Reports
from paddock.operator.resource import KIND, InferenceService
from paddock.server.fetch.teller import Teller

KEY = ("models", "qwen3")
HOST_PATHS = HostPathPolicy(True, ("/models",))
SQL, CHAT = {"name": "sql", "uri": "hf://team/sql"}, {"name": "chat", "uri": "hf://team/chat"}


class Server:
    """Keeps what is applied, as the watches would show it: pods run once their StatefulSet is there."""

    def __init__(self, children: Children, adapters_port: int) -> None:
        self.children = children
        self.adapters_port = adapters_port
        self._version = 0
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}

    def store(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._version += 1
        meta = {"generation": 1, "uid": f"{body['kind']}-{body['metadata']['name']}", **body["metadata"]}
        stored = {**body, "metadata": {**meta, "resourceVersion": str(self._version)}}
        self._objects[body["kind"], meta["name"]] = stored
        self.children.wrote(stored)
        return stored

    async def get(self, kind: str, _: str, name: str) -> dict[str, Any] | None:
        return self._objects.get((kind, name))

    async def make(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["kind"] == "StatefulSet":
            self._start_pod(manifest)
            manifest = {**manifest, "status": {"observedGeneration": 1}}
        return self.store(manifest)

    async def apply(self, manifest: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        known = self._objects[manifest["kind"], manifest["metadata"]["name"]]
        if subresource or manifest["kind"] == "Pod":
            annotations = {
                **known["metadata"].get("annotations", {}),
                **manifest["metadata"].get("annotations", {}),
            }
            status = manifest.get("status", known.get("status"))
            return self.store(
                {**known, "metadata": {**known["metadata"], "annotations": annotations}, "status": status}
            )
        return self.store({**known, **manifest, "metadata": {**known["metadata"], **manifest["metadata"]}})

    def _start_pod(self, stateful_set: dict[str, Any]) -> None:
        template = stateful_set["spec"]["template"]
        spec = json.loads(json.dumps(template["spec"]))
        [keeper] = [each for each in spec["initContainers"] if each["name"] == "adapters"]
        keeper["ports"][0]["containerPort"] = self.adapters_port
        owner = {"kind": "StatefulSet", "uid": "set", "controller": True}
        labels = {**template["metadata"]["labels"], "apps.kubernetes.io/pod-index": "0"}
        name = f"{stateful_set['metadata']['name']}-0"
        meta = {
            **template["metadata"],
            "name": name,
            "namespace": KEY[0],
            "labels": labels,
            "ownerReferences": [owner],
        }
        ready = {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        self.store({"kind": "Pod", "metadata": meta, "spec": spec, "status": ready})


class Events:
    """Where Events go."""

    async def record(self, _: InferenceService, note: Note) -> None:
        assert note.message


def resource(adapters: list[dict[str, str]], generation: int) -> dict[str, Any]:
    spec = {"model": {"uri": "file:///models/tiny"}, "replicas": 1, "lora": {"adapters": adapters}}
    meta = {"namespace": KEY[0], "name": KEY[1], "uid": "uid-1", "generation": generation}
    return {"kind": KIND, "metadata": meta, "spec": spec}


def entries(adapters: list[dict[str, str]]) -> list[dict[str, str]]:
    service = InferenceService.of(resource(adapters, 1))
    fetched = Blueprint.of(service, HOST_PATHS).fetched
    assert fetched
    return [
        {"name": each["name"], "entry": each["entry"], "state": "Loaded", "message": ""}
        for each in fetched.wanted
    ]


@asynccontextmanager
async def at_work(
    rendering: Rendering, server: Server, others_wait: bool = False
) -> AsyncIterator[Reconciler]:
    async with aiohttp.ClientSession() as to_pods:
        yield Reconciler(
            api=cast(Any, server),
            to_pods=to_pods,
            children=server.children,
            recorder=cast(Any, Events()),
            rendering=rendering,
            host_paths=HOST_PATHS,
            isolation=Isolation(),
            reports=Reports(to_pods, lambda _: None, pauses=()),
            without_metrics=lambda: None,
            others_wait=lambda: others_wait,
        )


def test_a_settled_service_is_looked_at_again_soon_while_an_adapter_of_it_changes(
    rendering: Rendering,
) -> None:
    loaded = entries([SQL])
    pauses: list[float | None] = []

    async def scene() -> None:
        server = Server(Children(), free_port())
        with Teller(server.adapters_port, lambda: json.dumps(loaded)):
            async with at_work(rendering, server) as reconciler:
                server.store(resource([SQL], 1))
                await reconciler.reconcile(KEY)
                pauses.append((await reconciler.reconcile(KEY)).again)
                server.store(resource([SQL, CHAT], 2))
                pauses.append((await reconciler.reconcile(KEY)).again)
                loaded[:] = entries([SQL, CHAT])
                pauses.append((await reconciler.reconcile(KEY)).again)

    asyncio.run(scene())
    settled, changing, again_settled = pauses
    assert changing == SILENT_SECONDS
    assert min(settled or 0, again_settled or 0) >= 0.8 * SETTLED_SECONDS


def test_while_others_wait_pods_come_first_then_what_stands_beside_them_and_then_the_status(
    rendering: Rendering,
) -> None:
    async def looks() -> list[tuple[Mapping[str, Any], int]]:
        server = Server(Children(), free_port())
        server.store(resource([SQL], 1))
        async with at_work(rendering, server, others_wait=True) as reconciler:
            return [
                ((await reconciler.reconcile(KEY)).status, len(server.children.of(KEY, "Service")))
                for _ in range(3)
            ]

    first, second, third = asyncio.run(looks())
    assert first == ({}, 0)
    assert second == ({}, 2)
    assert third[0]["observedGeneration"] == 1
