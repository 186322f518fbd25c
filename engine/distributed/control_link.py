"""A member's end of the control socket: joining, beating, and knowing when the leader is gone."""

import logging
import time
from collections.abc import Callable

import msgspec
import zmq

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
from paddock.engine.distributed.sockets import Context, Socket, dealer
from paddock.engine.distributed.vitality import BEAT_SECONDS, PROGRESS_SECONDS, OwnPauses, silence_limit

logger = logging.getLogger(__name__)

ATTEMPT_SECONDS = 5.0
"""Between two tries to join: each looks the leader's name up anew, since its address changes with its pod, and says again
what a leader that was started again has not heard."""


class RefusedError(RuntimeError):
    """The leader does not take this member; the text says why."""


class LeaderLostError(RuntimeError):
    """Nothing has been heard from the leader for too long, or it never came."""


class ControlLink:
    """Used by one thread at a time: by that which joins, and then by that which watches."""

    def __init__(self, context: Context, name: str, secret: str | None) -> None:
        """`name` is unique in the group."""
        self._context, self._name, self._secret = context, name, secret
        self._socket: Socket | None = None
        self._address = ""
        # A leader with another secret takes no notice at all, so that this is all that can be said.
        self._hint = "" if secret is None else " (it answers only to the same PADDOCK_GROUP_SECRET)"
        self._last_heard = self._next_beat = 0.0
        self._serving = False
        self.store: tuple[str, int] | None = None
        """See `Beat`."""
        self._pauses = OwnPauses()

    def join(
        self, locate: Callable[[], str], join: Join, patience_seconds: float, given_up: Callable[[], bool]
    ) -> Welcome | None:
        """Try until the leader answers. `locate` gives its address, or raises `OSError` while its name has none.

        None when `given_up` turns true. Raises `RefusedError`, and `LeaderLostError` after `patience_seconds`.
        """
        started = progress = time.monotonic()
        while not given_up():
            left = patience_seconds - (time.monotonic() - started)
            welcome = self._attempt(locate, join, given_up, min(ATTEMPT_SECONDS, left))
            if welcome is not None:
                return welcome
            now = time.monotonic()
            if now - started > patience_seconds:
                raise LeaderLostError(f"the leader has not answered for {now - started:.0f} s{self._hint}")
            if now - progress > PROGRESS_SECONDS:
                progress = now
                logger.info("waiting for the leader, %.0f s so far%s", now - started, self._hint)
        return None

    def _attempt(
        self, locate: Callable[[], str], join: Join, given_up: Callable[[], bool], seconds: float
    ) -> Welcome | None:
        deadline = time.monotonic() + seconds
        try:
            address = locate()
        except OSError as error:
            logger.info("the leader's address is not known yet: %s", error)
            time.sleep(BEAT_SECONDS)
            return None
        # One socket for each address: of two by the same name the leader keeps the one whose connection comes last, which
        # may be the older one.
        if address != self._address:
            self.close()
            self._address = address
            self._socket = dealer(self._context, address, self._name, self._secret)
        self._send(join)
        while (left := deadline - time.monotonic()) > 0 and not given_up():
            message = self._receive(min(200, int(1000 * left) + 1))
            if isinstance(message, Refused):
                raise RefusedError(message.reason)
            if isinstance(message, Welcome):
                self._last_heard = time.monotonic()
                return message
        return None

    def watch(
        self, timeout_milliseconds: int = 250, relay: StepRelay | None = None, is_done: bool = False
    ) -> Farewell | None:
        """Beat when it is time, and listen for a while; the leader's farewell if it came. For `is_done` see `Beat`.

        With a `relay`, a step that a replica of this node begins is told at once, and ends the listening.
        Raises `LeaderLostError` when the leader has been silent for too long.
        """
        now = time.monotonic()
        has_news = relay is not None and relay.untold() is not None
        if has_news or now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            self._send(Beat(begun=0 if relay is None else relay.known, is_done=is_done))
        message = self._receive(timeout_milliseconds, relay)
        now = time.monotonic()
        self._last_heard = min(self._last_heard + self._pauses.until(now), now)
        if message is not None:
            self._last_heard = now
        if isinstance(message, Beat):
            self._serving, self.store = message.serving, message.store
            if relay is not None:
                relay.heard(message.begun)
        elif isinstance(message, Farewell):
            return message
        if now - self._last_heard > silence_limit(self._serving):
            raise LeaderLostError(f"the leader has not been heard for {now - self._last_heard:.1f} s")
        return None

    def part(self, reason: str) -> None:
        """Tell the leader that this member ends."""
        self._send(Farewell(reason))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: Control) -> None:
        assert self._socket is not None, "join comes first"
        self._socket.send(encode(message), zmq.NOBLOCK)

    def _receive(self, timeout_milliseconds: int, relay: StepRelay | None = None) -> Control | None:
        assert self._socket is not None, "join comes first"
        listened = [self._socket] if relay is None else [self._socket, relay.bell]
        ready, _, _ = zmq.select(listened, [], [], timeout_milliseconds / 1000)
        if self._socket not in ready:
            return None
        frame = self._socket.recv()
        try:
            message: Control = decode_control(frame)
            return message
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise RefusedError(
                f"the leader speaks another language ({error}): run the same version"
            ) from None
