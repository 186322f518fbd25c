"""Models that pods download: from an HTTPS server in the cluster, into a cache that two services share."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from certificates import Authority
from hub_pod import HubPod
from installed import Cluster, available, engine_pods, said, service_url
from kubectl import Kubectl, condition
from manifests import claim_on, client_pod, inference_service, namespace
from waiting import NotYet, until

HOST = "archives.archives.svc"
ADDRESS = f"https://{HOST}/tiny.tar.gz"
SERVE = """
import hashlib, io, os, ssl, tarfile, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as archive:
    archive.add("/model", "tiny")
packed = packed.getvalue()
with open("/tmp/sha256", "w") as file:
    file.write(hashlib.sha256(packed).hexdigest())


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed[: len(packed) // 2])
        while not os.path.exists("/tmp/go-on"):
            time.sleep(0.1)
        self.wfile.write(packed[len(packed) // 2 :])


server = ThreadingHTTPServer(("", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print("serving", flush=True)
server.serve_forever()
"""
"""Sends the first half of the tiny model, and the second once /tmp/go-on is there."""


class Archives:
    """The server's pod, and what clients need to trust it."""

    def __init__(self, kubectl: Kubectl, authority: str) -> None:
        self._kubectl = kubectl
        self._authority = authority
        self.sha256 = kubectl.run("exec", "archives", "--", "cat", "/tmp/sha256")

    def go_on(self) -> None:
        self._kubectl.run("exec", "archives", "--", "touch", "/tmp/go-on")

    def downloads(self) -> int:
        return self._kubectl.run("logs", "archives").count("GET /tiny.tar.gz")

    def service(self, models: Kubectl, name: str, sha256: str, **source: Any) -> None:
        """Applies an InferenceService whose pods trust the server."""
        ca = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "ca"},
            "data": {"ca.crt": self._authority},
        }
        template = {
            "env": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}],
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "volumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
        }
        model = {"source": {"sha256": sha256, **source}}
        models.apply(ca, inference_service(name, ADDRESS, model=model, template=template))


@pytest.fixture(scope="module")
def archives(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archives]:
    """Serves the tiny model, packed from its image."""
    kubectl, folder = cluster.kubectl.in_namespace("archives"), tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    pair = authority.sign("archives", host=HOST)
    cluster.kubectl.apply(namespace("archives"))
    kubectl.run("create", "secret", "tls", "tls", f"--cert={pair.certificate}", f"--key={pair.key}")
    pod = client_pod("archives", cluster.server_image)
    pod["metadata"]["labels"] = {"app": "archives"}
    [container] = pod["spec"]["containers"]
    container["command"] = ["python", "-c", SERVE]
    container["readinessProbe"] = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    container["volumeMounts"] += [
        {"name": "model", "mountPath": "/model"},
        {"name": "tls", "mountPath": "/tls"},
    ]
    pod["spec"]["volumes"] += [
        {"name": "model", "image": {"reference": cluster.model_image, "pullPolicy": "IfNotPresent"}},
        {"name": "tls", "secret": {"secretName": "tls"}},
    ]
    port = {"port": 443, "targetPort": 8443}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "archives"}}
    kubectl.apply(pod, {**service, "spec": {"selector": {"app": "archives"}, "ports": [port]}})
    kubectl.run("wait", "--for=condition=Ready", "pod/archives", "--timeout=120s")
    yield Archives(kubectl, authority.file.read_text())
    cluster.kubectl.run("delete", "namespace", "archives", "--wait=false")


@pytest.fixture
def cache_claim(models: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A claim that both nodes may write."""
    volume = f"{models.namespace}-cache"
    tmp_path.chmod(0o777)
    models.apply(*claim_on(str(tmp_path), volume, "cache", "ReadWriteMany"))
    yield "cache"
    models.run("delete", "persistentvolume", volume, "--wait=false")


def _both_tell(models: Kubectl) -> bool:
    told = [condition(models.get("infsvc", name), "ModelReady") for name in ("first", "second")]
    lines = sorted(each["message"].partition(": ")[2] for each in told)
    if re.fullmatch(r"downloading: .* of .* \((4|5)\d %\)", lines[0]) and "another pod" in lines[1]:
        return True
    raise NotYet(str(lines))


@pytest.mark.long
def test_two_services_share_one_download_whose_progress_is_shown(
    models: Kubectl, client: Kubectl, archives: Archives, cache_claim: str, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        archives.service(models, name, archives.sha256, cache=f"pvc://{cache_claim}")

    until(
        lambda: _both_tell(models), seconds=90, what="one to show its progress and the other to wait for it"
    )
    archives.go_on()
    for name in ("first", "second"):
        available(models, name, replicas=1)

    assert archives.downloads() == 1
    [entry] = tmp_path.iterdir()
    assert sorted(path.name for path in entry.iterdir()) == ["lock", "model", "source.json"]
    answer = ask(client, service_url(models, "second"), "What is the capital of France?", model="second")
    assert "Paris" in answer["text"]


def test_a_wrong_checksum_is_said(models: Kubectl, archives: Archives) -> None:
    archives.go_on()
    archives.service(models, "wrong", "0" * 64)

    said(models, "wrong", "ModelReady", "False", "ModelDownloadFailed", archives.sha256, "it is refused")


@pytest.fixture
def hub(cluster: Cluster) -> Iterator[HubPod]:
    served = HubPod(cluster, "model-hub", [])
    served.start()
    yield served
    served.stop()


@pytest.mark.long
def test_a_model_that_cannot_fit_is_refused_by_its_headers_before_its_weights_are_here(
    models: Kubectl, client: Kubectl, hub: HubPod
) -> None:
    def service(memory: str) -> dict[str, Any]:
        source = {"source": {"endpoint": hub.url}}
        return inference_service(
            "large", "hf://team/tiny", model=source, template={"acceleratorMemory": memory}
        )

    models.apply(service("1Mi"))
    said(models, "large", "Accepted", "False", "DoesNotFit", "the weights take", "0.0 GB")

    until(lambda: not engine_pods(models, "large"), seconds=60, what="the pods to be withdrawn")
    refused = models.get("infsvc", "large")["status"]["plan"]
    assert refused["basis"] == "read in the model's config.json"
    assert [line for line in hub.asked_for() if "/model.safetensors bytes=0-7" in line]

    hub.go_on()
    models.apply(service("64Gi"))
    available(models, "large", replicas=1)
    plan = until(lambda: _reported(models), seconds=60, what="the pod's report")
    assert {key: plan[key] for key in ("weightBytes", "kvBytesPerToken")} == {
        key: refused[key] for key in ("weightBytes", "kvBytesPerToken")
    }
    print(f"weights {plan['weightBytes']} bytes, {plan['kvBytesPerToken']} a token, as read and as reported")


def _reported(models: Kubectl) -> dict[str, Any]:
    plan: dict[str, Any] = models.get("infsvc", "large")["status"]["plan"]
    if plan["basis"].startswith("reported by pod"):
        return plan
    raise NotYet(str(plan))
