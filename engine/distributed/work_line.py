"""The leader's end of the work sockets: orders to ranks, and their answers or the loss of the group."""

from collections.abc import Iterable
from typing import NoReturn

import zmq

from paddock.engine.distributed.control_hub import ControlHub
from paddock.engine.distributed.messages import Answer, Failed, Order, decode_answer, encode
from paddock.engine.distributed.sockets import Socket
from paddock.engine.distributed.vitality import SILENCE_SECONDS
from paddock.engine.settings import SettingsError


class RankLostError(RuntimeError):
    """A rank is dead or silent, and the engine's state with it. The text says which one and why."""


class WorkLine:
    """Used by one thread."""

    def __init__(self, socket: Socket, hub: ControlHub) -> None:
        self._socket, self._hub = socket, hub
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(hub.alarm, zmq.POLLIN)

    def tell(self, ranks: Iterable[int], order: Order) -> None:
        """Give the same order to `ranks`."""
        frame = encode(order)
        for rank in ranks:
            try:
                self._socket.send_multipart([f"rank-{rank}".encode(), frame], zmq.NOBLOCK)
            except zmq.ZMQError as error:
                self._raise_cause(f"rank {rank} cannot be reached ({error.strerror})")

    def hear(self, timeout_seconds: float | None = None) -> tuple[int, Answer] | None:
        """The next answer and whose it is; None when none comes in time.

        Raises `RankLostError`, or `SettingsError` when a rank says what the user can set right.
        """
        if not self._socket.poll(0):
            ready = dict(self._poller.poll(None if timeout_seconds is None else int(1000 * timeout_seconds)))
            if self._hub.alarm in ready:
                self.check()
            if self._socket not in ready:
                return None
        name, frame = self._socket.recv_multipart()
        rank, answer = int(name.removeprefix(b"rank-")), decode_answer(frame)
        if isinstance(answer, Failed):
            if answer.is_users:
                raise SettingsError(answer.message)
            self._raise_cause(f"rank {rank} failed: {answer.message}")
        return rank, answer

    def check(self) -> None:
        """Raises `RankLostError` if the group is lost."""
        if self._hub.failure is not None:
            raise RankLostError(self._hub.failure)

    def _raise_cause(self, symptom: str) -> NoReturn:
        """A rank whose peer has died fails as well, and is often heard first: give the cause the time to show."""
        cause = self._hub.wait_for_cause(SILENCE_SECONDS + 1)
        raise RankLostError(cause if cause is not None else symptom)
