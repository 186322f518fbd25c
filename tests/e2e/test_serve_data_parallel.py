"""Replicas behind one endpoint: on one node, on two that meet on loopback, and with balancing left to the outside."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import ROOT, SMALL_CACHE, TINY_MODEL, Serve, failed_start, free_port
from waiting import until

pytestmark = pytest.mark.timeout(240)

TWO = ("--data-parallel-size", "2", "--dtype", "float32")
PROMPTS = ["The capital of France", "once upon a time", "1, 2, 3,", "Hello"]
LONG = {"prompt": "once upon a time", "max_tokens": 600, "ignore_eos": True, "stream": True}
NOTICED_WITHIN_SECONDS = 10


def answers(serve: Serve) -> list[str]:
    def ask(prompt: str) -> str:
        body = {"prompt": prompt, "max_tokens": 20, "temperature": 0}
        reply = httpx.post(serve.url + "/v1/completions", json=body, timeout=60)
        return str(reply.json()["choices"][0]["text"])

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, PROMPTS * 2))


def by_engine(serve: Serve, series: str) -> dict[str, float]:
    """Values by engine, summed over other labels."""
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(serve.url + "/metrics", timeout=10).text):
        for sample in family.samples:
            if sample.name == series:
                engine = sample.labels["engine"]
                values[engine] = values.get(engine, 0) + sample.value
    return values


def running(serve: Serve) -> dict[str, float]:
    return by_engine(serve, "vllm:num_requests_running")


def engines_below(pid: int) -> list[psutil.Process]:
    """In the order of their start, which is that of their ranks."""
    children = psutil.Process(pid).children(recursive=True)
    found = [child for child in children if "paddock.engine.core_process" in child.cmdline()]
    return sorted(found, key=lambda each: (each.create_time(), each.pid))


def are_gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


class Streams:
    """Long answers being read; each connection is its own."""

    def __init__(self, serve: Serve, count: int) -> None:
        self._url, self.texts = serve.url, [""] * count
        self._threads = [threading.Thread(target=self._read, args=(i,), daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def _read(self, index: int) -> None:
        self.texts[index] = httpx.post(self._url + "/v1/completions", json=LONG, timeout=120).text

    def end(self) -> list[str]:
        for thread in self._threads:
            thread.join(60)
        return self.texts


@pytest.fixture(scope="module")
def one_replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """The second of two, balanced by somebody else."""
    with Serve(tmp_path_factory.mktemp("one") / "log", "--data-parallel-rank", "1", *TWO) as serve:
        yield serve


def test_replicas_share_the_work_and_answer_as_one_does(tmp_path: Path, one_replica: Serve) -> None:
    with Serve(tmp_path / "log", *TWO) as serve:
        assert answers(serve) == answers(one_replica)
        assert min(by_engine(serve, "vllm:request_success_total").values()) > 0

        streams = Streams(serve, 6)
        until(lambda: running(serve) == {"0": 3, "1": 3}, seconds=30, what="an even spread", every=0.02)
        everyone = psutil.Process(serve.process.pid).children(recursive=True)
        serve.signal(signal.SIGTERM)
        assert all(text.endswith("data: [DONE]\n\n") and '"error"' not in text for text in streams.end())
        assert serve.wait() == 0
        assert are_gone(everyone)


def test_a_replica_of_its_own_serves_that_one_alone(one_replica: Serve) -> None:
    assert list(running(one_replica)) == ["1"]
    assert len(engines_below(one_replica.process.pid)) == 1


@pytest.mark.long
def test_a_caller_who_leaves_frees_the_replica_that_worked_for_it(tmp_path: Path) -> None:
    flags = (
        "--data-parallel-size",
        "5",
        "--data-parallel-size-local",
        "2",
        "--data-parallel-start-rank",
        "3",
    )
    with Serve(tmp_path / "log", *flags, "--data-parallel-hybrid-lb", "--api-server-count", "2") as serve:
        assert len(answers(serve)) == 8
        clients = [httpx.Client() for _ in range(4)]
        for client in clients:
            request = client.build_request(
                "POST", serve.url + "/v1/completions", json={**LONG, "max_tokens": 1500}
            )
            client.send(request, stream=True)
        until(lambda: sum(running(serve).values()) == 4, seconds=30, what="four to run", every=0.02)
        assert set(running(serve)) == {"3", "4"}
        for client in clients:
            client.close()
        until(lambda: running(serve) == {"3": 0, "4": 0}, seconds=30, what="all to be freed", every=0.02)


@pytest.mark.long
def test_when_one_replica_dies_every_caller_is_told_which_and_all_end(tmp_path: Path) -> None:
    with Serve(tmp_path / "log", *TWO) as serve:
        everyone = psutil.Process(serve.process.pid).children(recursive=True)
        streams = Streams(serve, 4)
        until(lambda: running(serve) == {"0": 2, "1": 2}, seconds=30, what="an even spread", every=0.02)
        engines_below(serve.process.pid)[1].kill()
        until(lambda: not serve.is_healthy(), seconds=NOTICED_WITHIN_SECONDS, what="/health to fail")
        assert all("data-parallel rank 1: the engine process was killed" in text for text in streams.end())
        assert serve.wait(NOTICED_WITHIN_SECONDS) == 1
        assert are_gone(everyone)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--data-parallel-size", "2", "--num-gpu-blocks-override", "4"), "data-parallel rank "),
        (
            ("--data-parallel-size", "2", "--data-parallel-backend", "ray"),
            "on other nodes by --headless; use mp",
        ),
    ],
    ids=["no room", "ray"],
)
def test_a_start_that_fails_says_why_and_for_which_replica(flags: tuple[str, ...], words: str) -> None:
    ended = failed_start(str(TINY_MODEL), "--port", "0", *flags)
    assert ended.returncode != 0
    assert words in ended.stderr.splitlines()[-1]


class Nodes:
    """A node with the API and replica 0, and one with replica 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"PADDOCK_GROUP_SECRET": "for these tests only"}
        self.flags = ("--data-parallel-address", "127.0.0.1", "--data-parallel-rpc-port", str(free_port()))
        self.followers: list[subprocess.Popen[bytes]] = []
        self.log = folder / "no follower yet"

    def head(self, *flags: str) -> Serve:
        local = ("--data-parallel-size-local", "1")
        return Serve(self.folder / "head", *TWO, *self.flags, *local, *flags, environ=self.environ)

    def follower(self, *flags: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "paddock.server", "serve", str(TINY_MODEL), *TWO, *self.flags]
        command += [*SMALL_CACHE, "--headless", "--data-parallel-start-rank", "1", *flags]
        self.log = self.folder / f"follower-{len(self.followers)}"
        with self.log.open("w") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **self.environ}
            )
        self.followers.append(process)
        return process

    @property
    def head_log(self) -> Path:
        return self.folder / "head"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    group = Nodes(tmp_path)
    yield group
    for process in group.followers:
        process.kill()
        process.wait()


@pytest.mark.long
def test_a_node_without_api_serves_through_the_one_that_has_it(nodes: Nodes, one_replica: Serve) -> None:
    follower = nodes.follower()  # comes first
    with nodes.head("--api-server-count", "2") as serve:
        assert len(engines_below(serve.process.pid)) == len(engines_below(follower.pid)) == 1
        assert answers(serve) == answers(one_replica)
        assert sum(by_engine(serve, "vllm:request_success_total").values()) == 8

        streams = Streams(serve, 4)
        until(lambda: min(running(serve).values()) > 0, seconds=30, what="both to run", every=0.02)
        follower.terminate()
        serve.signal(signal.SIGTERM)
        assert all(text.endswith("data: [DONE]\n\n") and '"error"' not in text for text in streams.end())
        assert (serve.wait(), follower.wait(20)) == (0, 0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(
            signal.SIGKILL, "data-parallel rank 1: the engine process was killed", id="engine killed"
        ),
        pytest.param(
            signal.SIGSTOP, "the node of data-parallel rank 1 (", id="node stopped", marks=pytest.mark.long
        ),
    ],
)
def test_the_loss_of_a_node_or_of_its_engine_ends_the_others_and_names_the_rank(
    nodes: Nodes, number: signal.Signals, words: str
) -> None:
    follower = nodes.follower()
    with nodes.head() as serve:
        [engine] = engines_below(follower.pid)
        streams = Streams(serve, 2)
        until(lambda: running(serve) == {"0": 1, "1": 1}, seconds=30, what="both to run", every=0.02)
        (engine if number == signal.SIGKILL else psutil.Process(follower.pid)).send_signal(number)
        until(lambda: not serve.is_healthy(), seconds=NOTICED_WITHIN_SECONDS, what="/health to fail")
        assert serve.wait(NOTICED_WITHIN_SECONDS) == 1
        follower.send_signal(signal.SIGCONT)
        assert follower.wait(NOTICED_WITHIN_SECONDS) == 1
        assert words in nodes.head_log.read_text()
        streams.end()
        until(lambda: are_gone([engine]), seconds=NOTICED_WITHIN_SECONDS, what="the engine to be gone")


@pytest.mark.long
def test_a_node_that_differs_is_refused_and_one_whose_head_is_gone_ends(nodes: Nodes) -> None:
    serve = nodes.head()
    try:
        other = nodes.follower("--seed", "7")
        assert other.wait(60) == 1
        assert "--seed is 7 here and unset at the leader" in nodes.log.read_text()

        taken = nodes.follower("--data-parallel-start-rank", "0", "--data-parallel-size-local", "1")
        assert taken.wait(60) == 1
        assert "rank 0 is run by the leader already" in nodes.log.read_text()

        follower = nodes.follower()
        serve.wait_until_ready()
        everyone = psutil.Process(follower.pid).children(recursive=True)
        serve.process.kill()
        assert follower.wait(NOTICED_WITHIN_SECONDS) == 1
        assert "the leader has not been heard for" in nodes.log.read_text()
        until(lambda: are_gone(everyone), seconds=NOTICED_WITHIN_SECONDS, what="the engines to be gone")
    finally:
        serve.kill()


@pytest.mark.long
def test_the_order_to_stop_is_heard_while_nodes_are_missing(nodes: Nodes) -> None:
    serve = nodes.head()
    try:
        until(lambda: "KV cache" in nodes.head_log.read_text(), seconds=60, what="the engine to be ready")
        serve.signal(signal.SIGTERM)
        assert serve.wait(30) == 0
    finally:
        serve.kill()
