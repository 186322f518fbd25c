"""`paddock serve` over several ranks, on one node and on two that meet on loopback: answers, and every way to die."""

import signal
import subprocess
import sys

import httpx
import pytest
from nodes import ENDS_WITHIN_SECONDS, Nodes, Stream, are_gone, below, check_end
from serving import TINY_MODEL, Serve, failed_start, free_port
from waiting import until

pytestmark = pytest.mark.timeout(240)

SMALL = ("--max-model-len", "256", "--dtype", "float32")
PAIR = ("--tensor-parallel-size", "2", *SMALL)
STAGES = ("--pipeline-parallel-size", "2", *SMALL)
LOOPBACK, LEADER = "127.0.0.1", "127.0.0.2"
QUESTION = {"model": str(TINY_MODEL), "prompt": "The capital of France", "max_tokens": 3, "temperature": 0}
LONG = {**QUESTION, "max_tokens": 240, "ignore_eos": True}
KILLED, SILENT = "was killed (SIGKILL)", "has not been heard for"


def ask(server):
    return httpx.post(server.url + "/v1/completions", json=QUESTION, timeout=60).json()["choices"][0]["text"]


def ranks_below(pid):
    """The processes of ranks among the descendants, in the order of their start."""
    found = [
        each for each in below(pid) if "paddock.engine.distributed.rank_process" in " ".join(each.cmdline())
    ]
    return sorted(found, key=lambda each: each.pid)


@pytest.mark.parametrize(
    ("flags", "number", "victim", "words"),
    [
        pytest.param(PAIR, signal.SIGKILL, 1, KILLED, id="peer-killed"),
        pytest.param(PAIR, signal.SIGSTOP, 0, SILENT, id="peer-stopped", marks=pytest.mark.long),
        pytest.param(STAGES, signal.SIGKILL, 0, KILLED, id="first-stage-killed", marks=pytest.mark.long),
        pytest.param(STAGES, signal.SIGKILL, 1, KILLED, id="last-stage-killed", marks=pytest.mark.long),
        pytest.param(STAGES, signal.SIGSTOP, 1, SILENT, id="last-stage-stopped", marks=pytest.mark.long),
    ],
)
def test_two_ranks_answer_and_end_together_when_one_is(tmp_path, flags, number, victim, words):
    with Serve(tmp_path / "log", *flags) as server:
        assert ask(server) == " is Paris."
        processes = below(server.process.pid)
        stream = Stream(server, LONG)
        stream.start()
        assert stream.started.wait(60)

        ranks_below(server.process.pid)[victim].send_signal(number)

        check_end(server, stream, processes, words)


@pytest.mark.long
def test_stages_in_processes_answer_and_stop_cleanly(tmp_path):
    log, one_at_a_time = tmp_path / "log", ("--max-parallel-loading-workers", "1")
    with Serve(log, *STAGES, *one_at_a_time) as server:
        assert loads(log) == ["begin", "end"] * 2
        processes = below(server.process.pid)
        assert ask(server) == " is Paris."

        server.signal(signal.SIGTERM)

        assert server.wait() == 0
        assert are_gone(processes)


def loads(log):
    """When ranks began and ended to read weights, in the order of the log."""
    marks = {"reading ": "begin", " GB of weights; peak": "end"}
    return [word for line in log.read_text().splitlines() for mark, word in marks.items() if mark in line]


@pytest.fixture
def nodes(tmp_path):
    made = Nodes(tmp_path, *PAIR, address=LEADER)
    yield made
    made.close()


def listening(processes):
    """The addresses at which any of them does."""
    sockets = [each for process in processes for each in process.net_connections("tcp")]
    return {each.laddr.ip for each in sockets if each.status == "LISTEN"}


def test_a_follower_waits_for_its_leader_and_both_stop_cleanly(nodes):
    follower, log = nodes.follower()
    until(lambda: "arguments:" in log.read_text(), seconds=60, what="the follower to be up")
    with nodes.leader() as server:
        assert ask(server) == " is Paris."
        everyone = below(server.process.pid, follower.pid)
        assert listening(everyone) == {LEADER, LOOPBACK}
        assert listening(below(server.process.pid)) == {LEADER}

        # Kubernetes tells all pods at once; the follower goes on for the leader's drain.
        follower.terminate()
        assert ask(server) == " is Paris."
        server.signal(signal.SIGTERM)

        assert server.wait() == 0
        assert follower.wait(ENDS_WITHIN_SECONDS) == 0
        assert are_gone(everyone)


@pytest.mark.long
def test_a_stage_on_two_nodes_between_stages_on_one_reaches_both_ways(nodes):
    nodes.sizes = (*PAIR, "--pipeline-parallel-size", "3")
    nodes.follower()
    with nodes.leader() as server:
        assert ask(server) == " is Paris."


@pytest.mark.long
def test_a_leader_refuses_a_wrong_follower_takes_a_right_one_and_falls_with_it(nodes):
    leader = nodes.leader()
    try:
        wrong, log = nodes.follower("--max-num-seqs", "7")
        assert wrong.wait(60) == 1
        assert "--max-num-seqs is 7 here and unset at the leader" in log.read_text()
        follower, _ = nodes.follower()
        leader.wait_until_ready()
        assert ask(leader) == " is Paris."
        everyone = below(leader.process.pid, follower.pid)
        stream = Stream(leader, LONG)
        stream.start()
        assert stream.started.wait(60)

        [rank] = ranks_below(follower.pid)
        rank.send_signal(signal.SIGSTOP)

        check_end(leader, stream, everyone, "rank 1 on node 1")
        assert follower.wait(ENDS_WITHIN_SECONDS) == 1
    finally:
        leader.kill()


@pytest.mark.long
def test_a_follower_whose_leader_vanishes_ends_as_a_failure(nodes):
    follower, log = nodes.follower()
    with nodes.leader() as server:
        everyone = below(follower.pid)

        server.process.kill()

        assert follower.wait(ENDS_WITHIN_SECONDS) == 1
        assert are_gone(everyone)
    assert "the leader has not been heard for" in log.read_text()


def test_nodes_without_a_secret_are_not_started(nodes):
    del nodes.environ["PADDOCK_GROUP_SECRET"]
    follower, log = nodes.follower()

    assert follower.wait(60) == 2
    assert "PADDOCK_GROUP_SECRET is not set" in log.read_text()


def test_a_size_that_the_model_does_not_allow_is_refused_before_anything_is_loaded():
    ended = failed_start(str(TINY_MODEL), "--tensor-parallel-size", "3")

    assert ended.returncode == 2
    assert "--tensor-parallel-size 3 does not divide the model's" in ended.stderr
    assert "loading" not in ended.stderr


def test_neither_the_leader_nor_a_follower_loads_torch():
    program = (
        "import sys, paddock.server.headless, paddock.engine.core_process, paddock.engine.executor.mp;"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == "set()"


@pytest.mark.long
def test_an_outside_launcher_may_start_the_ranks(tmp_path, nodes):
    serve = Serve(
        tmp_path / "log",
        *PAIR,
        *("--distributed-executor-backend", "external_launcher", "--master-port", str(free_port())),
        environ=nodes.environ,
        launcher=("torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()), "-m"),
    )
    with serve as server:
        assert ask(server) == " is Paris."
        assert len(ranks_below(server.process.pid)) == 2

        ranks_below(server.process.pid)[1].kill()

        assert server.wait() != 0
