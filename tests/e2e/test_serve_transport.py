"""How callers reach a serving process, and what it logs of them."""

import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from certificates import Authority, Pair
from serving import TINY_MODEL, Serve, failed_start
from waiting import until

COMPLETION = {"prompt": "once upon a time", "max_tokens": 3}
LAYERS = """
class Tag:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def tagged(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-tag", b"mine")]
            await send(message)

        await self.app(scope, receive, tagged)
"""


class UnixServe(Serve):
    """Asked over TLS on its Unix socket; it was also given a port, which it must not use."""

    def __init__(self, folder: Path, authority: Authority, *flags: str, environ: dict[str, str]) -> None:
        self.path = folder / "paddock.sock"
        self._trust = ssl.create_default_context(cafile=authority.file)
        super().__init__(folder / "log", "--uds", str(self.path), *flags, environ=environ)

    def client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=self._trust, uds=str(self.path))
        return httpx.Client(transport=transport, base_url="https://localhost", timeout=60)

    def is_healthy(self) -> bool:
        with self.client() as client:
            try:
                return client.get("/health").status_code == 200
            except httpx.TransportError:
                return False

    def certificate(self) -> str:
        """Serial number of the certificate that a new connection is shown."""
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(self.path))
            with self._trust.wrap_socket(caller, server_hostname="localhost") as connection:
                shown = connection.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])


def install(pair: Pair, folder: Path) -> None:
    (folder / "tls.crt").write_bytes(pair.certificate.read_bytes())
    (folder / "tls.key").write_bytes(pair.key.read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unix")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def unix(folder: Path, authority: Authority) -> Iterator[UnixServe]:
    install(authority.sign("first"), folder)
    (folder / "users_layers.py").write_text(LAYERS)
    handler = {"class": "logging.FileHandler", "filename": str(folder / "all.log"), "formatter": "name"}
    logging_config = {
        "version": 1,
        "formatters": {"name": {"format": "<%(name)s> %(message)s"}},
        "handlers": {"file": handler},
        "root": {"level": "INFO", "handlers": ["file"]},
    }
    (folder / "logging.json").write_text(json.dumps(logging_config))
    # What a server that was killed left behind.
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "paddock.sock"))
    flags = (
        "--ssl-certfile", str(folder / "tls.crt"), "--ssl-keyfile", str(folder / "tls.key"), "--enable-ssl-refresh",
        "--log-config-file", str(folder / "logging.json"), "--middleware", "users_layers.Tag",
        "--h11-max-header-count", "20", "--h11-max-incomplete-event-size", "8000", "--disable-fastapi-docs",
    )  # fmt: skip
    with UnixServe(folder, authority, *flags, environ={"PYTHONPATH": str(folder)}) as serve:
        yield serve


def test_a_unix_socket_is_the_only_way_in(unix: UnixServe) -> None:
    with unix.client() as client:
        assert client.post("/v1/completions", json=COMPLETION).status_code == 200
    listening = [
        connection
        for process in (psutil.Process(unix.process.pid), *psutil.Process(unix.process.pid).children())
        for connection in process.net_connections("tcp")
    ]
    assert listening == []


def test_the_layers_limits_and_closed_pages_of_the_command_line_hold(unix: UnixServe) -> None:
    with unix.client() as client:
        assert client.get("/version").headers["x-tag"] == "mine"
        assert client.get("/docs").status_code == 404
        many = {f"x-{number}": "1" for number in range(20)}
        assert client.get("/version", headers=many).status_code == 431
        assert client.get("/version", headers={"x": "y" * 7_000}).status_code == 200
        assert client.get("/version", headers={"x": "y" * 8_000}).status_code == 431


def test_server_and_engine_log_as_the_file_says(unix: UnixServe, folder: Path) -> None:
    with unix.client() as client:
        client.post("/v1/completions", json=COMPLETION)
        client.get("/health")
    text = (folder / "all.log").read_text()
    for name in ("paddock.server", "paddock.engine.worker.worker", "uvicorn.error", "uvicorn.access"):
        assert f"<{name}>" in text
    assert "POST /v1/completions" in text
    assert "/health" not in text
    assert unix.log.read_text() == ""


def test_a_renewed_certificate_needs_no_restart(unix: UnixServe, authority: Authority, folder: Path) -> None:
    before = unix.certificate()
    with unix.client() as old:
        assert old.get("/version").status_code == 200
        install(authority.sign("second"), folder)
        until(lambda: unix.certificate() != before, seconds=30, what="the new certificate")
        assert old.get("/version").status_code == 200


def test_the_socket_goes_with_the_server(unix: UnixServe) -> None:
    unix.signal(signal.SIGTERM)
    assert unix.wait() == 0
    assert not unix.path.exists()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    log = tmp_path_factory.mktemp("plain") / "log"
    environ = {"PADDOCK_LOGGING_PREFIX": "[me] ", "PADDOCK_LOGGING_LEVEL": "INFO"}
    environ |= {"PADDOCK_LOG_BATCHSIZE_INTERVAL": "0.1", "PADDOCK_V1_OUTPUT_PROC_CHUNK_SIZE": "1"}
    with Serve(log, environ=environ) as serve:
        yield serve


def test_requests_are_in_the_log_and_successful_probes_are_not(plain: Serve) -> None:
    httpx.get(plain.url + "/health")
    httpx.get(plain.url + "/metrics")
    httpx.get(plain.url + "/v1/models?probe=1")
    httpx.get(plain.url + "/nowhere")
    text = plain.log.read_text()
    assert '"GET /v1/models?probe=1 HTTP/1.1" 200' in text
    assert '"GET /nowhere HTTP/1.1" 404' in text
    assert "/health" not in text
    assert "/metrics" not in text


def test_sizes_of_steps_are_in_the_log_and_answers_are_whole_one_output_at_a_turn(plain: Serve) -> None:
    asked = {"prompt": "Once upon a time", "max_tokens": 7, "n": 3, "ignore_eos": True}
    answer = httpx.post(plain.url + "/v1/completions", json=asked, timeout=60).json()
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length"] * 3
    assert answer["usage"]["completion_tokens"] == 21
    until(lambda: " steps: " in plain.log.read_text(), seconds=30, what="the sizes of steps")


def test_every_line_of_server_and_engine_has_the_prefix(plain: Serve) -> None:
    lines = plain.log.read_text().splitlines()
    assert any("paddock.engine" in line for line in lines)
    assert all(line.startswith("[me] ") for line in lines)


@pytest.mark.parametrize(
    ("flags", "environ", "named", "status"),
    [
        (["--ssl-certfile", "/nowhere.pem"], {}, "--ssl-certfile /nowhere.pem", 1),
        (["--ssl-keyfile", "/k.pem"], {}, "--ssl-keyfile needs --ssl-certfile", 2),
        (["--ssl-certfile", "c", "--ssl-cert-reqs", "2"], {}, "--ssl-cert-reqs above 0 needs --ssl-ca-certs", 2),
        (["--middleware", "no_such.Layer"], {}, "--middleware no_such.Layer", 1),
        (["--log-config-file", "/nowhere.json"], {}, "--log-config-file /nowhere.json", 2),
        (["--uds", "/nowhere/s.sock"], {}, "--uds /nowhere/s.sock", 1),
        ([], {"PADDOCK_LOGGING_CONFIG_PATH": "/nowhere.json"}, "/nowhere.json", 2),
        ([], {"PADDOCK_LOGGING_LEVEL": "LOUD"}, "PADDOCK_LOGGING_LEVEL", 2),
        ([], {"PADDOCK_RPC_TIMEOUT": "5"}, "PADDOCK_RPC_TIMEOUT", 1),
        ([], {"PADDOCK_ENABLE_V1_MULTIPROCESSING": "0"}, "--disable-frontend-multiprocessing", 2),
        (["-asc", "2", "--disable-frontend-multiprocessing"], {}, "--api-server-count", 2),
    ],
)  # fmt: skip
def test_a_fault_is_told_before_the_model_loads(
    flags: list[str], environ: dict[str, str], named: str, status: int
) -> None:
    ended = failed_start(str(TINY_MODEL), "--port", "0", *flags, environ={**os.environ, **environ})
    assert ended.returncode == status, ended.stderr
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "paddock.engine" not in ended.stderr
