"""The custom metrics API over real TLS, asked by the front proxy and by somebody else."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from paddock.operator.custom_metrics.api import application
from paddock.operator.custom_metrics.front_proxy import FrontProxy
from paddock.operator.custom_metrics.series import NotMeasured

ROOT = "/apis/custom.metrics.k8s.io/v1beta2"


def issue(folder: Path, name: str, authority: str | None = None) -> None:
    """A certificate for `name`, signed by `authority` or by itself."""
    key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        str(folder / f"{name}.key"),
    ]
    signer = (
        ["-CA", str(folder / f"{authority}.crt"), "-CAkey", str(folder / f"{authority}.key")]
        if authority
        else []
    )
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", *key, *signer, *subject, "-out", str(folder / f"{name}.crt")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name, authority in (
        ("authority", None),
        ("front-proxy", "authority"),
        ("other", "authority"),
        ("stranger", None),
        ("tls", None),
    ):
        issue(folder, name, authority)
    return folder


async def measure(namespace: str, name: str, metric: str) -> float:
    if name == "starting":
        raise NotMeasured("no ready replica")
    return 2.5


Outcome = tuple[int, Any]


@pytest.fixture
def ask(certificates: Path) -> Callable[[str, str | None], Outcome]:
    """Status and JSON of a GET with the named client certificate; status 0 when TLS fails."""

    def run(path: str, client: str | None) -> Outcome:
        return asyncio.run(_asked(certificates, path, client))

    return run


async def _asked(folder: Path, path: str, client: str | None) -> Outcome:
    proxy = FrontProxy((folder / "authority.crt").read_text(), ("front-proxy",))
    runner = web.AppRunner(application(proxy, measure))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=proxy.context(folder))
    await site.start()
    try:
        port = runner.addresses[0][1]
        trusted = ssl.create_default_context(cafile=str(folder / "tls.crt"))
        if client:
            trusted.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
        return await _get(f"https://127.0.0.1:{port}{path}", trusted)
    finally:
        await runner.cleanup()


async def _get(url: str, trusted: ssl.SSLContext) -> Outcome:
    try:
        async with aiohttp.ClientSession() as session, session.get(url, ssl=trusted) as response:
            return response.status, await response.json()
    except (aiohttp.ClientError, OSError):
        return 0, None


Ask = Callable[[str, str | None], Outcome]
FIGURE = f"{ROOT}/namespaces/models/inferenceservices.paddock.dev/qwen3/requests_waiting"


def test_the_front_proxy_gets_a_figure_of_the_service(ask: Ask) -> None:
    status, answer = ask(FIGURE, "front-proxy")
    assert status == 200
    [item] = answer["items"]
    assert item["value"] == "2500m"
    assert item["describedObject"]["name"] == "qwen3"
    assert item["metric"] == {"name": "requests_waiting"}


@pytest.mark.parametrize(("client", "expected"), [(None, 0), ("stranger", 0), ("other", 401)])
def test_nobody_else_gets_anything(ask: Ask, client: str | None, expected: int) -> None:
    assert ask(FIGURE, client)[0] == expected


def test_every_metric_is_discovered(ask: Ask) -> None:
    status, answer = ask(ROOT, "front-proxy")
    assert status == 200
    assert {each["name"] for each in answer["resources"]} >= {
        "inferenceservices.paddock.dev/requests_waiting"
    }


@pytest.mark.parametrize(
    ("name", "metric", "said"),
    [("qwen3", "mood", "known are"), ("starting", "requests_waiting", "no ready replica")],
)
def test_what_cannot_be_measured_is_not_found_with_the_reason(
    ask: Ask, name: str, metric: str, said: str
) -> None:
    status, answer = ask(
        f"{ROOT}/namespaces/models/inferenceservices.paddock.dev/{name}/{metric}", "front-proxy"
    )
    assert status == 404
    assert said in answer["message"]


def test_a_cluster_without_front_proxy_has_none() -> None:
    assert FrontProxy.of(None) is None
    assert FrontProxy.of({"data": {"client-ca-file": "x"}}) is None
    found = FrontProxy.of(
        {"data": {"requestheader-client-ca-file": "pem", "requestheader-allowed-names": '["a"]'}}
    )
    assert found == FrontProxy("pem", ("a",))
