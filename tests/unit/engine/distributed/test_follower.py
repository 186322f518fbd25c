"""A node that serves beside following: it stays for the others when it has ended its own work, and ends with the leader."""

import threading
from contextlib import ExitStack

import pytest
import zmq
from serving import free_port
from waiting import until

from paddock import __version__
from paddock.engine.distributed.control_hub import ControlHub
from paddock.engine.distributed.follower import Follower
from paddock.engine.distributed.messages import Join
from paddock.engine.distributed.sockets import router, tcp

SECRET = "a secret of the group"


class Crew:
    """Without processes: `reason` is why its children have failed."""

    needs_all, relay = True, None

    def __init__(self, rank):
        self.name = self.member = f"engines-{rank}"
        self.rank, self.reason = rank, None
        self.started = self.stopped = False

    def join(self, leader):
        return Join(self.rank, None, __version__, {}, "here", 70 + self.rank, {self.rank: ""})

    def start(self, welcomed):
        self.started = True
        return self

    def failure(self):
        return self.reason

    def stop(self, timeout):
        self.stopped = True


class Following:
    def __init__(self, crew, port):
        self.follower = Follower(crew, ("127.0.0.1", port), SECRET, drain_seconds=3600.0)
        self.ended = []
        self.thread = threading.Thread(target=lambda: self.ended.append(self.follower.follow()))
        self.thread.start()

    def close(self):
        self.follower.leave_now()
        self.thread.join(30)
        self.follower.close(1.0)


@pytest.fixture
def led():
    """A hub that serves two nodes of engines: it, their crews, and what follows in their names."""
    with ExitStack() as stack:
        context, port = zmq.Context(), free_port()
        stack.callback(context.term)
        crews = [Crew(1), Crew(2)]
        nodes = [Following(crew, port) for crew in crews]
        hub = ControlHub(router(context, tcp("127.0.0.1", port), SECRET), {}, "", lambda: None)
        stack.callback(hub.close)
        for node in nodes:
            stack.callback(node.close)
        until(lambda: len(hub.joined) == 2, seconds=30, what="both to join", every=0.02)
        hub.begin()
        hub.serve(("127.0.0.1", 1))
        until(lambda: all(crew.started for crew in crews), seconds=30, what="both to start", every=0.02)
        yield hub, crews, nodes


def test_the_leader_hears_when_all_are_done_and_its_end_is_theirs(led):
    hub, crews, nodes = led
    nodes[0].follower.leave()
    until(
        lambda: [member.is_done for member in hub._members.values()].count(True) == 1, seconds=30, what="one"
    )
    assert not hub.are_done

    nodes[1].follower.leave()
    until(lambda: hub.are_done, seconds=30, what="both")
    assert all(node.thread.is_alive() for node in nodes)
    hub.close()
    for node in nodes:
        node.thread.join(30)

    assert [node.ended for node in nodes] == [[None], [None]]
    assert [crew.stopped for crew in crews] == [False, False]


def test_one_that_does_not_wait_is_a_loss_to_the_others(led):
    hub, _, nodes = led
    nodes[0].follower.leave_now()
    for node in nodes:
        node.thread.join(30)

    told = (
        "the node of data-parallel rank 1 (here, pid 71) has ended: was told to stop, and the leader goes on"
    )
    assert hub.failure == told
    assert nodes[1].ended == [hub.failure]


def test_what_fails_in_one_node_is_told_to_the_other_and_stopped_by_its_owner(led):
    _, crews, nodes = led
    crews[1].reason = "data-parallel rank 2: the engine process was killed"
    for node in nodes:
        node.thread.join(30)
    nodes[1].close()

    assert nodes[1].ended == [crews[1].reason]
    assert nodes[0].ended == [f"the node of data-parallel rank 2 (here, pid 72) has ended: {crews[1].reason}"]
    assert (crews[0].stopped, crews[1].stopped) == (False, True)


def test_the_end_of_the_leader_is_a_failure_to_a_node_that_still_works(led):
    hub, _, nodes = led
    hub.close()
    nodes[0].thread.join(30)

    assert nodes[0].ended == ["the leader has stopped"]
