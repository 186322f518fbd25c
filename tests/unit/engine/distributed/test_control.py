"""Joining, beating and parting, without any model: one hub and its members in this process."""

import threading
import time
from contextlib import ExitStack, contextmanager
from itertools import permutations

import pytest
import zmq
from serving import free_port
from waiting import until

from paddock import __version__
from paddock.engine.distributed import control_link, vitality
from paddock.engine.distributed.control_hub import ControlHub
from paddock.engine.distributed.control_link import ControlLink, LeaderLostError, RefusedError
from paddock.engine.distributed.messages import Join, Welcome
from paddock.engine.distributed.sockets import router, tcp

SECRET = "a secret of the group"
ARGUMENTS = {"--max-model-len": "256", "--dtype": '"float32"'}


THREE_MINUTES = int(180 / control_link.ATTEMPT_SECONDS)
"""As many attempts as a member makes in that time."""


def join_of(rank=1, arguments=ARGUMENTS, version=__version__, pid=77):
    return Join(0, rank, version, dict(arguments), "here", pid)


class Group:
    def __init__(self, stack):
        self.stack = stack
        self.context = zmq.Context()
        self.address = tcp("127.0.0.1", free_port())
        self.dead = None
        self.hub = None
        stack.callback(self.context.term)

    def lead(self):
        socket = router(self.context, self.address, SECRET)
        self.hub = ControlHub(socket, ARGUMENTS, "tcp://work", lambda: self.dead)
        self.stack.callback(self.hub.close)
        return self.hub

    def link(self, name="rank-1", secret=SECRET):
        made = ControlLink(self.context, name, secret)
        self.stack.callback(made.close)
        return made

    def join(self, link, join=None, patience=20.0):
        return link.join(lambda: self.address, join or join_of(), patience, lambda: False)

    @contextmanager
    def beating(self, link):
        """`link` watches in a thread; what ended it is appended to the list."""
        ended, stop = [], threading.Event()

        def watch():
            try:
                while not stop.is_set() and not ended:
                    farewell = link.watch(50)
                    if farewell is not None:
                        ended.append(farewell.reason)
            except LeaderLostError as error:
                ended.append(str(error))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield ended
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def group():
    with ExitStack() as stack:
        yield Group(stack)


def test_a_member_may_come_long_before_its_leader(group):
    link, answers = group.link(), []
    waiting = threading.Thread(target=lambda: answers.append(group.join(link)))
    waiting.start()
    time.sleep(0.3)
    group.lead()
    waiting.join(20)

    assert answers == [Welcome("tcp://work")]


def test_a_member_that_has_tried_for_long_is_heard_by_the_leader_that_comes_at_last(group, monkeypatch):
    monkeypatch.setattr(control_link, "ATTEMPT_SECONDS", 0.02)
    link, attempts = group.link(), []

    def locate():
        attempts.append(group.address)
        return group.address

    waiting = threading.Thread(target=lambda: link.join(locate, join_of(), 60, lambda: False))
    waiting.start()
    until(lambda: len(attempts) > THREE_MINUTES, seconds=30, what="all these attempts", every=0.01)
    hub = group.lead()
    waiting.join(20)
    hub.begin()
    hub.serve()

    def heard():
        return [member.last_heard for member in hub._members.values()]

    [joined] = heard()
    with group.beating(link) as ended:
        until(lambda: heard() > [joined + 0.5], seconds=10, what="beats")
        assert (hub.failure, ended) == (None, [])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_members_and_their_leader_may_come_in_any_order(group, order):
    links = {rank: group.link(f"rank-{rank}") for rank in (1, 2)}
    answers = {}

    def come(rank):
        answers[rank] = group.join(links[rank], join_of(rank=rank, pid=rank))

    threads = [threading.Thread(target=come, args=(rank,)) for rank in order if rank]
    for rank in order:
        threads.pop(0).start() if rank else group.lead()
    until(lambda: len(answers) == 2, seconds=20, what="all to be welcome", every=0.01)

    assert list(answers.values()) == [Welcome("tcp://work")] * 2
    assert {join.rank for join in group.hub.joined} == {1, 2}


@pytest.mark.parametrize(
    ("join", "words"),
    [
        (join_of(version="0.0.0"), f"the leader runs version {__version__} and this member 0.0.0"),
        (
            join_of(arguments={**ARGUMENTS, "--max-model-len": "512"}),
            "--max-model-len is 512 here and 256 at the leader",
        ),
        (join_of(arguments={"--dtype": '"float32"'}), "--max-model-len is unset here and 256 at the leader"),
    ],
)
def test_a_peer_of_another_version_or_with_other_arguments_is_refused_with_words(group, join, words):
    group.lead()

    with pytest.raises(RefusedError, match=words):
        group.join(group.link(), join)


@pytest.mark.parametrize("pid", [78, 77], ids=["another process", "the same pid in another container"])
def test_a_second_member_of_the_same_number_is_refused(group, pid):
    hub = group.lead()
    first = group.link()
    group.join(first)

    with pytest.raises(RefusedError, match="has this member already"):
        group.join(group.link(), join_of(pid=pid))
    assert hub.failure is None


def test_a_pod_that_replaces_a_member_is_not_taken_for_it_once_the_group_has_begun(group):
    hub = group.lead()
    link = group.link()
    group.join(link)
    hub.begin()
    hub.serve()

    with pytest.raises(RefusedError, match="has this member already"):
        group.join(group.link(), join_of())
    assert "rank 1 on node 0 (here, pid 77) has not been heard for" in str(hub.wait_for_cause(10))


def test_who_does_not_know_the_secret_is_not_heard(group):
    hub = group.lead()

    with pytest.raises(LeaderLostError, match="answers only to the same PADDOCK_GROUP_SECRET"):
        group.join(group.link(secret="another one of that kind"), patience=0.5)
    assert hub.failure is None


def test_nothing_but_the_given_address_is_listened_at(group):
    import psutil

    group.lead()

    port = int(group.address.rsplit(":", 1)[1])
    listening = [c.laddr for c in psutil.Process().net_connections("tcp") if c.status == "LISTEN"]
    assert ("127.0.0.1", port) in [tuple(address) for address in listening]
    assert {address.ip for address in listening if address.port == port} == {"127.0.0.1"}


def test_a_member_that_falls_silent_is_lost_and_the_others_are_told(group):
    hub = group.lead()
    silent, other = group.link("rank-1"), group.link("rank-2")
    group.join(silent)
    group.join(other, join_of(rank=2))
    hub.begin()
    hub.serve()
    with group.beating(other) as ended:
        reason = hub.wait_for_cause(10)
        until(lambda: ended, seconds=10, what="the farewell")

    assert "rank 1 on node 0 (here, pid 77) has not been heard for" in reason
    assert ended == [reason]
    assert zmq.select([hub.alarm], [], [], 0)[0] == [hub.alarm]


def test_a_leader_that_was_held_up_itself_takes_nobody_for_silent(group, monkeypatch):
    monkeypatch.setattr(vitality, "SILENCE_SECONDS", 0.8)
    hub = group.lead()
    members = [group.link(f"rank-{rank}") for rank in (1, 2)]
    for rank, link in enumerate(members, 1):
        group.join(link, join_of(rank=rank))
    hub.begin()
    hub.serve()
    rounds, limit = [], time.monotonic() + 1.2

    def hold_up_once():
        until(lambda: rounds or time.monotonic() > limit, seconds=10, what="longer than silence is borne")
        rounds.append(time.monotonic())

    hub._dead_child = hold_up_once
    with group.beating(members[0]), group.beating(members[1]):
        until(lambda: len(rounds) > 3, seconds=10, what="the hub to have looked at everyone again")

        assert hub.failure is None


def test_only_what_exceeds_the_usual_time_between_two_looks_is_a_pause():
    pauses = vitality.OwnPauses()

    assert [pauses.until(now) for now in (5.0, 5.1, 8.1, 8.2)] == [0, 0, pytest.approx(3), 0]


def test_a_member_notices_that_the_leader_falls_silent(group):
    socket = router(group.context, group.address, SECRET)
    link = group.link()
    answered = threading.Thread(target=lambda: answer_once(socket))
    answered.start()
    group.join(link)
    answered.join()
    with group.beating(link) as ended:
        until(lambda: ended, seconds=10, what="the loss")
    socket.close()

    assert "the leader has not been heard for" in ended[0]


def answer_once(socket):
    """Welcome the first that comes, say that the group serves, and fall silent."""
    from paddock.engine.distributed.messages import Beat, encode

    name, _ = socket.recv_multipart()
    socket.send_multipart([name, encode(Welcome("tcp://work"))])
    socket.send_multipart([name, encode(Beat(serving=True))])


def test_a_member_that_leaves_before_the_group_begins_may_come_back(group):
    hub = group.lead()
    link = group.link()
    group.join(link)
    link.part("out of memory")
    link.close()
    until(lambda: not hub.joined, seconds=10, what="the leader to hear of it", every=0.02)

    assert group.join(group.link(), join_of(pid=78)) == Welcome("tcp://work")
    assert hub.failure is None


def test_a_member_that_leaves_later_ends_the_group_with_its_reason(group):
    hub = group.lead()
    link = group.link()
    group.join(link)
    hub.begin()
    link.part("out of memory")

    assert hub.wait_for_cause(10) == "rank 1 on node 0 (here, pid 77) has ended: out of memory"


def test_a_dead_child_ends_the_group(group):
    hub = group.lead()
    group.dead = "rank 0 (pid 5) was killed"

    assert hub.wait_for_cause(10) == "rank 0 (pid 5) was killed"


def test_a_member_of_a_group_that_is_no_more_is_told_so(group):
    group.lead()
    link = group.link()
    group.join(link)
    group.hub._members.clear()
    with group.beating(link) as ended:
        until(lambda: ended, seconds=10, what="the farewell")

    assert ended == ["the leader was started again"]


def test_nonsense_on_the_control_socket_is_dropped(group):
    from paddock.engine.distributed.sockets import dealer

    hub = group.lead()
    nonsense = dealer(group.context, group.address, "rank-9", SECRET)
    for frame in (b"", b"\xff" * 40, b"\x91" * 2000):
        nonsense.send(frame)

    assert group.join(group.link()) == Welcome("tcp://work")
    assert hub.failure is None
    nonsense.close()
