"""The leader's end of the control sockets: who has joined, who beats, and the alarm when one is lost."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import zmq

from paddock import __version__
from paddock.engine.data_parallel.step_relay import StepRelay
from paddock.engine.distributed.messages import (
    Beat,
    Control,
    Farewell,
    Join,
    Refused,
    Welcome,
    decode_control,
    encode,
)
from paddock.engine.distributed.shared_arguments import difference
from paddock.engine.distributed.sockets import Socket
from paddock.engine.distributed.vitality import BEAT_SECONDS, SILENCE_SECONDS, OwnPauses, silence_limit

logger = logging.getLogger(__name__)

POLL_MILLISECONDS = 100

MOST_AT_A_TIME = 1000
"""Messages that are heard before the silent are looked for: a flood must not keep the hub from that."""

Objection = Callable[[Join, Sequence[Join]], str | None]
"""What stands against a newcomer beside those who have joined under other names."""


def no_objection(join: Join, others: Sequence[Join]) -> None:
    """Names alone keep the ranks and nodes of one engine apart."""


@dataclass(slots=True)
class Member:
    join: Join
    last_heard: float
    is_done: bool = False
    """See `Beat`."""


class ControlHub:
    """A thread of its own keeps the group's pulse. Before `begin` members come and go; after it a loss is final."""

    def __init__(
        self,
        socket: Socket,
        arguments: Mapping[str, str],
        work_address: str,
        dead_child: Callable[[], str | None],
        objection: Objection = no_objection,
        relay: StepRelay | None = None,
    ) -> None:
        """`dead_child` says, in words, which process of this node's ranks has ended, if one has.

        With a `relay`, nodes hear of each other's steps through this hub.
        """
        self._further_objection = objection
        self._socket = socket
        self._arguments = arguments
        self._work_address = work_address
        self._dead_child = dead_child
        self._members: dict[bytes, Member] = {}
        self._began = self._serving = self._closing = False
        self._next_beat = 0.0
        self._relay = relay
        self._store: tuple[str, int] | None = None
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        if relay is not None:
            self._poller.register(relay.bell, zmq.POLLIN)
        self._pauses = OwnPauses()
        self._raised = threading.Event()
        self.failure: str | None = None
        """Why the group is lost. Set once."""
        self._alarm_in, self._alarm_out = os.pipe()
        self._thread = threading.Thread(target=self._run, name="control hub", daemon=True)
        self._thread.start()

    @property
    def alarm(self) -> int:
        """A descriptor that turns readable when the group is lost."""
        return self._alarm_in

    @property
    def joined(self) -> list[Join]:
        """Those who are members now."""
        return [member.join for member in list(self._members.values())]

    @property
    def are_done(self) -> bool:
        """Whether every member waits for the leader's end alone; see `Beat`."""
        return all(member.is_done for member in list(self._members.values()))

    def begin(self) -> None:
        """All are there: from now on the loss of one ends the group."""
        self._began = True

    def serve(self, store: tuple[str, int] | None = None) -> None:
        """The start is over: from now on three missed beats are a loss, and the members hear so at once.

        For `store` see `Beat`.
        """
        self._serving, self._store = True, store
        self._next_beat = 0.0

    def wait_for_cause(self, seconds: float) -> str | None:
        """Why the group is lost, once that is known; None when it is not within `seconds`."""
        self._raised.wait(seconds)
        return self.failure

    def close(self) -> None:
        """Tell every member that the leader ends. Safe to call twice."""
        if not self._closing:
            self._closing = True
            self._thread.join()
            os.close(self._alarm_in)
            os.close(self._alarm_out)

    def _run(self) -> None:
        try:
            while not self._closing and self.failure is None:
                self._hear_all()
                self._look_after(time.monotonic())
        finally:
            self._tell_all(Farewell(self.failure))
            self._socket.close()

    def _hear_all(self) -> None:
        """All that has come: the beat of one may lie behind those of others."""
        patience = POLL_MILLISECONDS
        for _ in range(MOST_AT_A_TIME):
            ready = dict(self._poller.poll(patience))
            if not ready:
                return
            if self._socket in ready:
                self._hear()
            if self._relay is not None and self._relay.untold() is not None:
                self._beat()
            patience = 0

    def _hear(self) -> None:
        name, *frames = self._socket.recv_multipart()
        try:
            message = decode_control(b"".join(frames))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            logger.warning("dropped a control message that cannot be read: %s", error)
            return
        member = self._members.get(name)
        if isinstance(message, Join):
            self._meet(name, message, member)
        elif member is None:
            # Of a group that is no more: it must not wait for what never comes.
            self._tell(name, Farewell("the leader was started again"))
        elif isinstance(message, Farewell):
            self._lose(name, f"{member.join.name} has ended: {message.reason}")
        else:
            member.last_heard = time.monotonic()
            if isinstance(message, Beat):
                self._hear_beat(member, message)

    def _hear_beat(self, member: Member, beat: Beat) -> None:
        member.is_done = beat.is_done
        if self._relay is not None and self._relay.heard(beat.begun):
            self._beat()

    def _meet(self, name: bytes, join: Join, known: Member | None) -> None:
        others = [member.join for other, member in self._members.items() if other != name]
        reason = self._objection(join, known) or self._further_objection(join, others)
        if reason is not None:
            logger.warning("%s is refused: %s", join.name, reason)
            self._tell(name, Refused(reason))
            return
        if known is None:
            logger.info("%s has joined", join.name)
        self._members[name] = Member(join, time.monotonic())
        self._tell(name, Welcome(self._work_address))

    def _objection(self, join: Join, known: Member | None) -> str | None:
        if join.version != __version__:
            return (
                f"the leader runs version {__version__} and this member {join.version}: run the same version"
            )
        is_new = known is None or known.join.start != join.start
        if known is not None and is_new and self._is_fresh(known):
            flag = "data-parallel rank" if join.engines else "--node-rank"
            return f"the group has this member already, as {known.join.name}: give every node a {flag} of its own"
        if self._began and is_new:
            return "the group is complete and has begun; it takes nobody in"
        return difference(join.arguments, self._arguments)

    def _is_fresh(self, member: Member) -> bool:
        return time.monotonic() - member.last_heard < SILENCE_SECONDS

    def _look_after(self, now: float) -> None:
        dead = self._dead_child()
        if dead is not None:
            self._fail(dead)
            return
        if now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            self._beat()
        held_up = self._pauses.until(now)
        for name, member in list(self._members.items()):
            member.last_heard = min(member.last_heard + held_up, now)
            silence = now - member.last_heard
            if silence > silence_limit(self._serving):
                self._lose(name, f"{member.join.name} has not been heard for {silence:.1f} s")

    def _lose(self, name: bytes, reason: str) -> None:
        if self._began:
            self._fail(reason)
        else:
            logger.warning("%s; waiting for it to come back", reason)
            del self._members[name]

    def _fail(self, reason: str) -> None:
        if self.failure is None:
            logger.error("the group is lost: %s", reason)
            self.failure = reason
            os.write(self._alarm_out, b"!")
            self._raised.set()

    def _beat(self) -> None:
        begun = 0 if self._relay is None else self._relay.known
        self._tell_all(Beat(self._serving, begun, self._store))

    def _tell_all(self, message: Control) -> None:
        for name in self._members:
            self._tell(name, message)

    def _tell(self, name: bytes, message: Control) -> None:
        try:
            self._socket.send_multipart([name, encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # Who cannot be reached is found out by its silence.
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
