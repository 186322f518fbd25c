"""Replicas of several nodes that share experts make equally many steps: nodes tell each other the newest one."""

import select
import threading
from contextlib import ExitStack

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import free_port

from paddock import __version__
from paddock.engine.config.serve import ServeConfig
from paddock.engine.data_parallel.lockstep import Lockstep
from paddock.engine.data_parallel.replica_tie import opened_tie
from paddock.engine.data_parallel.step_relay import StepRelay
from paddock.engine.distributed.control_hub import ControlHub
from paddock.engine.distributed.control_link import ControlLink
from paddock.engine.distributed.messages import Join
from paddock.engine.distributed.sockets import router, tcp

SECRET = "a secret of the group"
CONFIG = ServeConfig.model_validate({"parallel": {"data_parallel_size": 4, "enable_expert_parallel": True}})
NODES = [range(1), range(1, 3), range(3, 4)]


class Node:
    def __init__(self, stack, ranks):
        tie = stack.enter_context(opened_tie(CONFIG, ranks))
        self.replicas = [Lockstep(tie, number) for number in range(len(ranks))]
        self.relay = StepRelay(tie)


def rings(bell, seconds=0.0):
    return bool(select.select([bell], [], [], seconds)[0])


def test_a_step_is_told_once_and_wakes_every_replica_of_the_other_node():
    with ExitStack() as stack:
        here, there = (Node(stack, ranks) for ranks in NODES[:2])
        here.replicas[0].begin()

        assert rings(here.relay.bell)
        assert here.relay.untold() == 1
        assert here.relay.untold() is None
        assert not rings(here.relay.bell)
        assert there.relay.heard(1)
        assert [(rings(each.bell), each.is_behind) for each in there.replicas] == [(True, True)] * 2
        assert there.relay.untold() is None
        assert not there.relay.heard(1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=4, max_size=4), st.randoms(use_true_random=True))
def test_whichever_messages_are_late_or_lost_all_make_as_many_steps_as_the_busiest_needs(work, random):
    with ExitStack() as stack:
        nodes = [Node(stack, ranks) for ranks in NODES]
        replicas = [replica for node in nodes for replica in node.replicas]
        left = list(work)
        while any(left) or len({replica.count for replica in replicas}) > 1:
            number = random.randrange(len(replicas))
            if left[number] or replicas[number].is_behind:
                left[number] = max(0, left[number] - 1)
                replicas[number].begin()
            teller, listener = random.sample(nodes, 2)
            teller.relay.untold()
            if random.random() < 0.5:
                listener.relay.heard(teller.relay.known)

        assert max(work) <= replicas[0].count <= sum(work)


@pytest.fixture
def joined():
    """Nodes whose relays hang on a hub and its links, as in their processes."""
    with ExitStack() as stack:
        context, address, over = zmq.Context(), tcp("127.0.0.1", free_port()), threading.Event()
        stack.callback(context.term)
        nodes = [Node(stack, ranks) for ranks in NODES]
        socket = router(context, address, SECRET)
        hub = ControlHub(socket, {}, "", lambda: None, relay=nodes[0].relay)
        stack.callback(hub.close)
        for node, ranks in zip(nodes[1:], NODES[1:], strict=True):
            link = ControlLink(context, f"engines-{ranks.start}", SECRET)
            stack.callback(link.close)
            engines = dict.fromkeys(ranks, "tcp://engine")
            join = Join(ranks.start, None, __version__, {}, "here", ranks.start, engines)
            link.join(lambda: address, join, 20, lambda: False)
            watching = threading.Thread(target=watch, args=(link, node.relay, over))
            watching.start()
            stack.callback(watching.join)
        stack.callback(over.set)
        hub.begin()
        hub.serve()
        yield nodes


def watch(link, relay, over):
    while not over.is_set():
        assert link.watch(250, relay) is None


def sleep_until_behind(replica):
    """As an engine does: a bell that was rung for a step made already is no news."""
    while not replica.is_behind:
        assert rings(replica.bell, seconds=30)
        replica.hear()


@pytest.mark.parametrize("beginner", range(4))
def test_a_step_of_any_replica_reaches_those_of_all_nodes_over_the_control_sockets(joined, beginner):
    replicas = [replica for node in joined for replica in node.replicas]
    for step in (1, 2, 3):
        replicas[beginner].begin()
        for number, replica in enumerate(replicas):
            if number != beginner:
                sleep_until_behind(replica)
                replica.begin()
        assert {replica.count for replica in replicas} == {step}
