"""How many processes serve, and what they are to each other."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from otlp_receiver import OtlpReceiver, attributes_of
from serving import TINY_MODEL, Serve, failed_start
from waiting import until

LONG = {"prompt": "once upon a time", "max_tokens": 600, "ignore_eos": True, "stream": True}
IN_MODEL, IN_WORKER = "gen_ai.latency.time_in_model_forward", "gen_ai.latency.time_in_model_execute"
NOTICED_WITHIN_SECONDS = 11
"""The silence that is borne by default, and a look at /health."""
SHORT = {"prompt": "once upon a time", "max_tokens": 3, "ignore_eos": True}


def ask(serve: Serve, **body: object) -> httpx.Response:
    """On a connection of its own."""
    return httpx.post(serve.url + "/v1/completions", json={**SHORT, **body}, timeout=300)


def running(serve: Serve, count: int) -> None:
    until(
        lambda: total_running(serve) == count,
        seconds=30,
        what=f"{count} requests to run",
        every=0.02,
    )


def processes(serve: Serve, module: str) -> list[psutil.Process]:
    children = psutil.Process(serve.process.pid).children(recursive=True)
    return [child for child in children if f"paddock.{module}" in child.cmdline()]


def api_servers(serve: Serve) -> list[psutil.Process]:
    return processes(serve, "server.api_process")


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as collector:
        yield collector


@pytest.fixture
def many(tmp_path: Path, collector: OtlpReceiver) -> Iterator[Serve]:
    flags = ("--api-server-count", "3", "--otlp-traces-endpoint", collector.endpoint)
    flags += ("--collect-detailed-traces", "all")
    with Serve(tmp_path / "log", *flags, environ={"PADDOCK_API_KEY": ""}) as serve:
        yield serve


def connections_taken(serve: Serve) -> set[int]:
    """Pids of the API servers that hold a connection now."""
    return {
        server.pid
        for server in api_servers(serve)
        if any(connection.status == psutil.CONN_ESTABLISHED for connection in server.net_connections("tcp"))
    }


def test_api_servers_share_the_port_the_engine_the_totals_the_collector_and_the_end(
    many: Serve, collector: OtlpReceiver
) -> None:
    assert len(api_servers(many)) == 3
    assert len(processes(many, "engine.core_process")) == 1

    # The kernel spreads connections by their ports: of 60 each server gets some.
    clients = [httpx.Client(base_url=many.url, timeout=60) for _ in range(60)]
    created = {client.get("/v1/models").json()["data"][0]["created"] for client in clients}
    assert len(connections_taken(many)) == 3
    assert len(created) == 1
    for client in clients[:12]:
        assert client.post("/v1/completions", json=SHORT).status_code == 200
    # One after another, so that each token is a step of its own; the last server to hear of one may lag.
    until(lambda: many.metric("vllm:iteration_tokens_total_count") == 36, seconds=10, what="36 steps counted")
    for client in clients:
        totals = client.get("/metrics").text
        assert value(totals, 'request_success_total{engine="0",finished_reason="length"') == 12
        assert value(totals, "generation_tokens_total") == 36
        assert value(totals, "time_to_first_token_seconds_count") == 12
        assert value(totals, "num_requests_running") == 0
        assert "\nprocess_resident_memory_bytes " in totals
        client.close()

    with ThreadPoolExecutor(6) as pool:
        streams = [pool.submit(ask, many, **LONG) for _ in range(6)]
        running(many, 6)
        many.signal(signal.SIGTERM)
        for stream in streams:
            text = stream.result().text
            assert text.endswith("data: [DONE]\n\n")
            assert '"error"' not in text
    assert many.wait() == 0

    # What was left when they ended was sent first.
    assert len(collector.requests) == 12 + 6
    assert {len(collector.inside(request)) for request in collector.requests} == {5}
    for request in collector.requests:
        told = attributes_of(request)
        assert 0 < told[IN_MODEL] < told[IN_WORKER] < told["gen_ai.latency.time_in_model_inference"] + 0.01
        prefill, decode = (attributes_of(collector.inside(request)[at]) for at in (2, 3))
        assert prefill[IN_WORKER] + decode[IN_WORKER] == pytest.approx(told[IN_WORKER])
    assert {service["service.name"] for service in collector.services} == {"paddock"}


def value(metrics: str, series: str) -> float:
    [line] = [line for line in metrics.splitlines() if line.startswith(f"vllm:{series}")]
    return float(line.rsplit(" ", 1)[1])


@pytest.mark.long
def test_when_one_api_server_dies_the_others_finish_and_the_process_ends_with_one(many: Serve) -> None:
    servers = api_servers(many)
    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(ask, many, **LONG) for _ in range(8)]
        running(many, 8)
        busy = connections_taken(many)
        victim = next(server for server in servers if server.pid in busy)
        victim.send_signal(signal.SIGKILL)
        ends = [ending(stream) for stream in streams]
    assert many.wait() == 1
    assert set(ends) <= {"data: [DONE]", "cut"}
    assert "data: [DONE]" in ends or len(busy) == 1
    assert "of 3 ended with status -9" in many.log.read_text()


def ending(stream: object) -> str:
    try:
        return str(stream.result().text).rstrip().rpartition("\n\n")[2]  # type: ignore[attr-defined]
    except httpx.TransportError:
        return "cut"


def test_when_the_engine_dies_every_api_server_tells_its_callers_and_the_process_ends_with_one(
    many: Serve,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(ask, many, **{**LONG, "max_tokens": 1500}) for _ in range(8)]
        running(many, 8)
        processes(many, "engine.core_process")[0].send_signal(signal.SIGKILL)
        for stream in streams:
            events = stream.result().text.split("\n\n")
            assert json.loads(events[-3].removeprefix("data: "))["error"]["code"] == 500
            assert events[-2] == "data: [DONE]"
    assert many.wait(20) == 1


@pytest.mark.long
def test_all_processes_end_with_the_first_one(many: Serve) -> None:
    family = psutil.Process(many.process.pid).children(recursive=True)
    assert len(family) == 4
    many.signal(signal.SIGKILL)
    many.wait()
    psutil.wait_procs(family, timeout=20)
    assert not any(member.is_running() for member in family)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    log = tmp_path_factory.mktemp("alone") / "log"
    with Serve(log, "--disable-frontend-multiprocessing", "--disable-uvicorn-access-log") as serve:
        yield serve


def test_server_and_engine_may_share_one_process(alone: Serve) -> None:
    assert alone.children() == []
    assert len(ask(alone).json()["choices"][0]["text"]) > 0


def test_without_access_log_only_the_rest_is_logged(alone: Serve) -> None:
    httpx.get(alone.url + "/v1/models")
    text = alone.log.read_text()
    assert "/v1/models " not in text
    assert "uvicorn.error" in text


def test_a_shared_process_drains_like_two(alone: Serve) -> None:
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(ask, alone, **LONG)
        running(alone, 1)
        alone.signal(signal.SIGTERM)
        text = stream.result().text
    assert text.endswith("data: [DONE]\n\n")
    assert '"error"' not in text
    assert alone.wait() == 0


def test_a_shared_process_says_why_its_engine_cannot_start() -> None:
    ended = failed_start(
        str(TINY_MODEL), "--port", "0", "--disable-frontend-multiprocessing", "--num-gpu-blocks-override", "4"
    )
    assert ended.returncode == 1
    assert "largest --max-model-len that fits is 64" in ended.stderr.splitlines()[-1]


@pytest.mark.long
def test_a_server_told_to_outlive_its_engine_answers_errors_until_it_is_stopped(tmp_path: Path) -> None:
    sockets = tmp_path / "s"
    sockets.mkdir()
    environ = {
        "PADDOCK_KEEP_ALIVE_ON_ENGINE_DEATH": "1",
        "PADDOCK_RPC_BASE_PATH": str(sockets),
    }
    with Serve(tmp_path / "log", environ=environ) as serve:
        [folder] = sockets.iterdir()
        assert (folder / "engine").is_socket()
        [engine] = processes(serve, "engine.core_process")
        os.kill(engine.pid, signal.SIGKILL)
        until(lambda: httpx.get(serve.url + "/health").status_code == 503, seconds=30, what="health to fail")
        refused = ask(serve)
        assert refused.status_code == 503
        assert "killed" in refused.json()["error"]["message"]
        assert "until this process is stopped" in serve.log.read_text()
        serve.signal(signal.SIGTERM)
        assert serve.wait() == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "flags",
    [(), ("--api-server-count", "2"), ("--data-parallel-size", "2")],
    ids=["one", "two API servers", "two engines"],
)
def test_an_engine_that_is_stopped_is_lost_within_ten_seconds(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with Serve(tmp_path / "log", *flags) as serve:
        everyone = psutil.Process(serve.process.pid).children(recursive=True)
        with ThreadPoolExecutor(4) as pool:
            streams = [pool.submit(ask, serve, **{**LONG, "max_tokens": 1900}) for _ in range(4)]
            running(serve, 4)
            processes(serve, "engine.core_process")[-1].suspend()
            until(lambda: not serve.is_healthy(), seconds=NOTICED_WITHIN_SECONDS, what="/health to fail")
            ends = [stream.result().text.split("\n\n") for stream in streams]
        # With two engines the other one's answers may have ended before.
        cut = [events for events in ends if '"error"' in events[-3]]
        assert len(cut) == 4 or "--data-parallel-size" in flags
        assert all("the engine has been silent for 10 s" in events[-3] for events in cut)
        assert all(events[-2] == "data: [DONE]" for events in ends)
        assert serve.wait(NOTICED_WITHIN_SECONDS) == 1
        _, left = psutil.wait_procs(everyone, timeout=0)
        assert not left


def total_running(serve: Serve) -> float:
    lines = httpx.get(serve.url + "/metrics", timeout=10).text.splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:num_requests_running{")
    )


@pytest.mark.long
def test_what_is_frozen_as_a_whole_for_longer_than_the_silence_goes_on_afterwards(tmp_path: Path) -> None:
    with Serve(tmp_path / "log", environ={"PADDOCK_RPC_TIMEOUT": "2000"}) as serve:
        family = [psutil.Process(serve.process.pid), *processes(serve, "engine.core_process")]
        with ThreadPoolExecutor(1) as pool:
            stream = pool.submit(ask, serve, **{**LONG, "max_tokens": 1900})
            running(serve, 1)
            for process in family:
                process.suspend()
            time.sleep(4)  # the pause itself is what is tried
            for process in family:
                process.resume()
            events = stream.result().text.split("\n\n")
        assert '"error"' not in "".join(events)
        assert serve.is_healthy()


@pytest.mark.parametrize("exists", [True, False], ids=["too long", "missing"])
def test_a_folder_that_takes_no_socket_is_named(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / ("x" * 90)
    if exists:
        folder.mkdir()
    ended = failed_start(str(TINY_MODEL), "--port", "0", environ={"PADDOCK_RPC_BASE_PATH": str(folder)})
    assert ended.returncode == 1
    assert f"PADDOCK_RPC_BASE_PATH {folder}" in ended.stderr
    assert "Traceback" not in ended.stderr
