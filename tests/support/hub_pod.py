"""The tests' model hub in a pod: the tiny model as team/tiny, and adapters beside it."""

import base64
import json
from pathlib import Path

import hub
import loopback_http
from installed import Cluster
from manifests import client_pod, namespace

PORT = 8080
_SERVE = """
import sys, time
from http.server import ThreadingHTTPServer
from pathlib import Path
sys.path.insert(0, "/code")
from hub import Hub, Repository

packed = [path for path in Path("/adapters").iterdir() if not path.name.startswith(".")]
for path in packed:
    name, _, file = path.name.partition("--")
    folder = Path("/tmp") / name
    folder.mkdir(exist_ok=True)
    (folder / file).write_bytes(path.read_bytes())
names = {path.name.partition("--")[0] for path in packed}
adapters = {f"team__{name}": Repository({"main": Path("/tmp") / name}) for name in names}
served = Hub(team__tiny=Repository({"main": Path("/model")}), **adapters)

class Told(served.handler):
    def answer(self, hub):
        asked = self.headers.get("Range") or "all"
        print(self.command, self.path, asked, flush=True)
        whole = asked == "all" or asked.endswith("-")
        while self.command == "GET" and self.path.endswith("/model.safetensors") and whole and not Path("/tmp/go-on").exists():
            time.sleep(0.1)
        super().answer(hub)

ThreadingHTTPServer(("", 8080), Told).serve_forever()
"""


class HubPod:
    """In a namespace of its own, over HTTP. `adapters` are folders."""

    def __init__(self, cluster: Cluster, name: str, adapters: list[Path]) -> None:
        self._cluster = cluster
        self._kubectl = cluster.kubectl.in_namespace(name)
        self.url = f"http://hub.{name}.svc:{PORT}"
        self._adapters = adapters

    def start(self) -> None:
        cluster, kubectl = self._cluster, self._kubectl
        cluster.kubectl.apply(namespace(kubectl.namespace))
        pod = client_pod("hub", cluster.server_image)
        pod["metadata"]["labels"] = {"app": "hub"}
        [container] = pod["spec"]["containers"]
        container["command"] = ["python", "-c", _SERVE]
        container["readinessProbe"] = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
        volumes = {
            "model": {"image": {"reference": cluster.model_image, "pullPolicy": "IfNotPresent"}},
            "code": {"configMap": {"name": "code"}},
            "adapters": {"configMap": {"name": "adapters"}},
        }
        container["volumeMounts"] += [{"name": name, "mountPath": f"/{name}"} for name in volumes]
        pod["spec"]["volumes"] += [{"name": name, **volume} for name, volume in volumes.items()]
        service = {"selector": {"app": "hub"}, "ports": [{"port": PORT}]}
        kubectl.apply(*self._config_maps())
        kubectl.apply(
            pod, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hub"}, "spec": service}
        )
        kubectl.run("wait", "--for=condition=Ready", "pod/hub", "--timeout=120s")

    def stop(self) -> None:
        self._cluster.kubectl.run("delete", "namespace", self._kubectl.namespace, "--wait=false")

    def go_on(self) -> None:
        """Lets the model's weights through; until then only parts of them are given."""
        self._kubectl.run("exec", "hub", "--", "touch", "/tmp/go-on")

    def asked_for(self) -> list[str]:
        """Method, path and range of each request."""
        return self._kubectl.run("logs", "hub").splitlines()

    def _config_maps(self) -> list[dict[str, object]]:
        code = {Path(str(module.__file__)).name: module for module in (hub, loopback_http)}
        texts = {name: Path(str(module.__file__)).read_text() for name, module in code.items()}
        packed = {
            f"{folder.name}--{file.name}": base64.b64encode(file.read_bytes()).decode()
            for folder in self._adapters
            for file in folder.iterdir()
        }
        assert len(json.dumps(packed)) < 1_000_000, "a ConfigMap holds a mebibyte"
        head = {"apiVersion": "v1", "kind": "ConfigMap"}
        return [
            {**head, "metadata": {"name": "code"}, "data": texts},
            {**head, "metadata": {"name": "adapters"}, "binaryData": packed},
        ]
