"""`paddock serve` with experts shared over replicas: answers, rest, and the end of all when one is lost."""

import signal
import threading

import psutil
import pytest
from nodes import ENDS_WITHIN_SECONDS, Nodes, Stream, are_gone, below, check_end
from serving import Serve
from shared_experts import FLAGS, Checkpoint, ask, check_rest
from waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return Checkpoint(tmp_path_factory.mktemp("mixtral"))


def everyone(serve):
    return [psutil.Process(serve.process.pid), *below(serve.process.pid)]


def ranks_or_engines(processes, module):
    found = [each for each in processes if f"paddock.engine.{module}" in each.cmdline()]
    return sorted(found, key=lambda each: each.pid)


@pytest.mark.parametrize(
    "flags",
    [(), ("--tensor-parallel-size", "2"), ("--disable-custom-all-reduce",)],
    ids=["memory", "two ranks each", "sockets"],
)
def test_replicas_answer_as_generate_does_and_then_rest(checkpoint, tmp_path, flags):
    with Serve(tmp_path / "log", *FLAGS, *flags, model=checkpoint.path) as serve:
        checkpoint.check_answers(serve)
        check_rest(below(serve.process.pid))

        serve.signal(signal.SIGTERM)
        assert serve.wait() == 0


@pytest.mark.parametrize(
    ("flags", "module", "number", "words"),
    [
        ((), "core_process", signal.SIGKILL, "data-parallel rank 1: the engine process was killed"),
        (("--tensor-parallel-size", "2"), "distributed.rank_process", signal.SIGKILL, "was killed (SIGKILL)"),
        (("--tensor-parallel-size", "2"), "distributed.rank_process", signal.SIGSTOP, "has not been heard"),
        (
            ("--disable-custom-all-reduce",),
            "core_process",
            signal.SIGKILL,
            "data-parallel rank 1: the engine",
        ),
    ],
    ids=["an engine", "a rank", "a rank that stops", "an engine behind sockets"],
)
def test_when_one_is_lost_every_caller_is_told_and_all_end(
    checkpoint, tmp_path, flags, module, number, words
):
    with Serve(tmp_path / "log", *FLAGS, *flags, model=checkpoint.path) as serve:
        processes, texts = everyone(serve), []

        def stream():
            texts.append(ask(serve, [3, 4, 5], max_tokens=500, stream=True).text)

        streams = [threading.Thread(target=stream) for _ in range(4)]
        for each in streams:
            each.start()
        until(
            lambda: serve.metric("vllm:num_requests_running") == 2, seconds=30, what="both to run", every=0.02
        )
        ranks_or_engines(processes, module)[-1].send_signal(number)

        until(lambda: not serve.is_healthy(), seconds=ENDS_WITHIN_SECONDS, what="/health to fail")
        assert serve.wait(ENDS_WITHIN_SECONDS) == 1
        for each in streams:
            each.join(ENDS_WITHIN_SECONDS)
        assert [words in text for text in texts] == [True] * 4, texts
        until(lambda: are_gone(processes), seconds=ENDS_WITHIN_SECONDS, what="every process to be gone")


@pytest.fixture
def nodes(checkpoint, tmp_path):
    made = []

    def make(*flags):
        made.append(Nodes(tmp_path, *FLAGS, *flags, model=checkpoint.path))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(
    "flags", [(), ("--tensor-parallel-size", "2")], ids=["a rank each", "two ranks each"]
)
def test_replicas_of_two_nodes_answer_as_generate_does_rest_and_stop(checkpoint, nodes, flags):
    group = nodes(*flags)
    follower, _ = group.follower()
    with group.leader() as serve:
        checkpoint.check_answers(serve)
        processes = below(serve.process.pid, follower.pid)
        check_rest([psutil.Process(follower.pid), *processes])

        follower.terminate()
        checkpoint.check_answers(serve)
        serve.signal(signal.SIGTERM)

        assert serve.wait() == 0
        assert follower.wait(ENDS_WITHIN_SECONDS) == 0
        assert are_gone(processes)


@pytest.mark.parametrize(
    ("where", "module", "number", "words"),
    [
        ("there", "core_process", signal.SIGKILL, "data-parallel rank 1: the engine process was killed"),
        ("there", "distributed.rank_process", signal.SIGSTOP, "has not been heard for"),
        ("here", "core_process", signal.SIGKILL, "data-parallel rank 0: the engine process was killed"),
    ],
    ids=["an engine killed", "a rank stopped", "an engine beside the API killed"],
)
def test_when_an_engine_of_one_node_is_lost_both_nodes_end(nodes, where, module, number, words):
    group = nodes()
    follower, log = group.follower()
    with group.leader() as serve:
        processes = below(serve.process.pid, follower.pid)
        stream = Stream(serve, {"prompt": [3, 4, 5], "max_tokens": 500, "ignore_eos": True})
        stream.start()
        assert stream.started.wait(60)

        node = follower if where == "there" else serve.process
        [victim] = ranks_or_engines(below(node.pid), module)
        victim.send_signal(number)

        check_end(serve, stream, processes, words)
        assert follower.wait(ENDS_WITHIN_SECONDS) == 1
    assert "ends: " in log.read_text()
