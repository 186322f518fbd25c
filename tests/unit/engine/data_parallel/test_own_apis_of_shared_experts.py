"""Nodes that share experts, each with an API of its own: answers, rest, an orderly end, and the end of all when one is lost."""

import signal
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from nodes import ENDS_WITHIN_SECONDS, Stream, are_gone, below, check_end
from serving import Serve
from shared_experts import EXTERNAL, HYBRID, Checkpoint, OwnApis, check_rest
from two_machines import LEADER, TwoMachines, why_not
from waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

LONG = {"prompt": [3, 4, 5], "max_tokens": 500, "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return Checkpoint(tmp_path_factory.mktemp("mixtral"))


@pytest.fixture
def group(checkpoint, tmp_path):
    made = []

    def make(*flags, **options):
        made.append(OwnApis(tmp_path, checkpoint.path, *flags, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def everyone(*servers):
    return below(*(serve.process.pid for serve in servers))


def streams_of(*servers):
    made = [Stream(serve, LONG) for serve in servers]
    for stream in made:
        stream.start()
    for stream in made:
        assert stream.started.wait(60)
    return made


def check_stop_in_turn(checkpoint, early, late):
    """The second to be told answers until then, with the experts of the first; both end well."""
    processes = everyone(early, late)
    early.signal(signal.SIGTERM)
    until(lambda: not early.is_healthy(), seconds=ENDS_WITHIN_SECONDS, what="the first API to end")
    checkpoint.check_answers(late)
    late.signal(signal.SIGTERM)

    assert [serve.wait(ENDS_WITHIN_SECONDS) for serve in (early, late)] == [0, 0]
    assert are_gone(processes)


def test_each_node_answers_as_generate_does_also_for_one_that_was_told_to_stop(checkpoint, group):
    first, second = group().start_both()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(checkpoint.check_answers, (first, second)))

    check_stop_in_turn(checkpoint, second, first)


@pytest.mark.parametrize(
    ("balancing", "flags"),
    [
        (HYBRID, ("--tensor-parallel-size", "2")),
        (EXTERNAL, ()),
        (HYBRID, ("--api-server-count", "2")),
    ],
    ids=["two ranks each", "a command for each replica", "two API servers each"],
)
def test_nodes_answer_as_generate_does_rest_and_stop_in_either_order(checkpoint, group, balancing, flags):
    first, second = group(*flags).start_both(balancing)
    for serve in (first, second):
        checkpoint.check_answers(serve)
    commands = [psutil.Process(serve.process.pid) for serve in (first, second)]
    check_rest([*commands, *everyone(first, second)])

    check_stop_in_turn(checkpoint, first, second)


@pytest.mark.parametrize("lost", [0, 1], ids=["with the first replica", "with the second"])
@pytest.mark.parametrize(
    ("module", "number", "words"),
    [
        (
            "paddock.engine.core_process",
            signal.SIGKILL,
            "data-parallel rank {}: the engine process was killed",
        ),
        ("paddock.engine.distributed.rank_process", signal.SIGSTOP, "has not been heard for"),
    ],
    ids=["an engine killed", "a rank stopped"],
)
def test_when_an_engine_of_one_node_is_lost_callers_of_both_hear_why_and_all_end(
    group, lost, module, number, words
):
    servers = group().start_both()
    processes = everyone(*servers)
    streams = streams_of(*servers)
    [victim] = [each for each in everyone(servers[lost]) if module in each.cmdline()]

    victim.send_signal(number)

    for serve, stream in zip(servers, streams, strict=True):
        check_end(serve, stream, [], words.format(lost))
    until(lambda: are_gone(processes), seconds=ENDS_WITHIN_SECONDS, what="every process to be gone")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("lost", [0, 1], ids=["with the first replica", "with the second"])
def test_when_a_server_is_lost_the_other_node_ends_and_says_so(group, lost, number):
    servers = group().start_both()
    processes, other = everyone(*servers), servers[1 - lost]
    [stream] = streams_of(other)

    servers[lost].signal(number)

    who = "the leader" if lost == 0 else "the node of data-parallel rank 1 ("
    check_end(other, stream, [], who)
    assert "has not been heard for" in stream.error["message"]
    servers[lost].signal(signal.SIGCONT)
    assert servers[lost].wait(ENDS_WITHIN_SECONDS) != 0
    until(lambda: are_gone(processes), seconds=ENDS_WITHIN_SECONDS, what="every process to be gone")


@pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
@pytest.mark.parametrize("cut", ["pull_the_plug", "lose_every_packet"])
def test_when_the_network_between_nodes_is_cut_callers_of_both_hear_why_and_all_end(group, cut):
    with TwoMachines.opened() as machines, machines.on_leader():
        nodes = group(address=LEADER)
        with machines.on_other():
            second = nodes.start(1)
        first = nodes.start(0)
        first.wait_until_ready()
        processes = everyone(first, second)
        [stream] = streams_of(first)
        with machines.on_other():
            second.wait_until_ready()
            [there] = streams_of(second)

        getattr(machines, cut)()

        check_end(first, stream, [], "has not been heard for")
        with machines.on_other():
            check_end(second, there, [], "has not been heard for")
        until(lambda: are_gone(processes), seconds=ENDS_WITHIN_SECONDS, what="every process to be gone")


@pytest.mark.parametrize("leaving", [0, 1], ids=["with the first replica", "with the second"])
def test_a_node_that_others_need_longer_than_it_may_drain_leaves_and_they_hear_so(group, leaving):
    nodes = group()
    nodes.environ["PADDOCK_DRAIN_TIMEOUT_SECONDS"] = "1"
    servers = nodes.start_both()
    processes, other = everyone(*servers), servers[1 - leaving]

    servers[leaving].signal(signal.SIGTERM)

    assert [serve.wait(ENDS_WITHIN_SECONDS) for serve in (servers[leaving], other)] == [1, 1]
    words = "the leader has stopped" if leaving == 0 else "was told to stop, and the leader goes on"
    assert words in other.log.read_text()
    until(lambda: are_gone(processes), seconds=ENDS_WITHIN_SECONDS, what="every process to be gone")


def test_one_that_balances_otherwise_is_refused_and_the_right_one_taken_later(checkpoint, group):
    nodes = group()
    first: Serve = nodes.start(0)
    other = nodes.start(1, EXTERNAL)
    assert other.wait() == 1
    assert "--data-parallel-hybrid-lb is unset here and true at the leader" in other.log.read_text()
    assert "--data-parallel-rank is one of its own here and unset at the leader" in other.log.read_text()

    second = nodes.start(1)
    for serve in (first, second):
        serve.wait_until_ready()
    checkpoint.check_answers(second)


def test_the_order_to_stop_is_heard_while_nodes_are_missing(group):
    nodes = group()
    for rank in (0, 1):
        alone = nodes.start(rank)
        until(
            lambda log=alone.log: "waiting for the " in log.read_text(), seconds=60, what="a word of waiting"
        )
        alone.signal(signal.SIGTERM)
        assert alone.wait(ENDS_WITHIN_SECONDS) == 0
