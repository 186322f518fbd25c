"""Hidden states from one pipeline stage to the next through memory that both map, for CPU ranks of one node.

The memory is a ring of slots, one step in each. A byte over a socket pair says that a slot is filled, one the other way
that it is free again. Neither end looks at the memory while it waits: a hand-over comes once in a stage's step, not
dozens of times as the sums of tensor-parallel ranks do, and a core that is looked from is one that no rank computes on.
"""

import mmap
import os
import socket
from typing import NoReturn

import torch

FILLED = FREE = b"\0"
COUNT_BYTES = 4


class StageLostError(RuntimeError):
    """The process at the other end is gone. The control link finds out why."""


class HiddenSender:
    """The end of the stage before."""

    def __init__(self, end: socket.socket, num_slots: int, slot_bytes: int) -> None:
        """Makes the ring and hands it to the other end. Pages of the memory are taken as they are written.

        A step is `slot_bytes` at most, and `num_slots` of them may wait to be received.
        """
        self._end = end
        memory = os.memfd_create("paddock-stages")
        try:
            os.ftruncate(memory, num_slots * slot_bytes)
            self._slots = _slots(memory, num_slots)
            socket.send_fds(end, [num_slots.to_bytes(COUNT_BYTES, "little")], [memory])
        finally:
            os.close(memory)
        self._num_free, self._next = num_slots, 0

    def send(self, hidden: torch.Tensor) -> None:
        """Returns at once while a slot is free, and else when one is. `hidden` may be overwritten afterwards."""
        while not self._num_free:
            self._num_free += len(_received(self._end, len(self._slots)))
        _bytes_of(self._slots[self._next], hidden).copy_(hidden)
        self._num_free -= 1
        self._next = (self._next + 1) % len(self._slots)
        _say(self._end, FILLED)


class HiddenReceiver:
    """The end of the stage after."""

    def __init__(self, end: socket.socket) -> None:
        """The other end may be made later."""
        self._end = end
        self._slots: list[torch.Tensor] = []
        self._next = 0

    def receive(self, hidden: torch.Tensor) -> None:
        """Fills it with what was sent; it has the shape and the type of that."""
        if not self._slots:
            self._slots = self._take_ring()
        _received(self._end, 1)
        hidden.copy_(_bytes_of(self._slots[self._next], hidden))
        self._next = (self._next + 1) % len(self._slots)
        _say(self._end, FREE)

    def _take_ring(self) -> list[torch.Tensor]:
        count, memories, _, _ = socket.recv_fds(self._end, COUNT_BYTES, 1)
        if not memories:
            _raise_lost()
        try:
            return _slots(memories[0], int.from_bytes(count, "little"))
        finally:
            os.close(memories[0])


def _slots(memory: int, num_slots: int) -> list[torch.Tensor]:
    ring = torch.frombuffer(mmap.mmap(memory, 0), dtype=torch.uint8)
    return list(ring.view(num_slots, -1))


def _bytes_of(slot: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """The slot's beginning, as a tensor like `hidden`."""
    return slot[: hidden.nbytes].view(hidden.dtype).view(hidden.shape)


def _say(end: socket.socket, word: bytes) -> None:
    try:
        end.send(word)
    except OSError:
        _raise_lost()


def _received(end: socket.socket, most: int) -> bytes:
    try:
        words = end.recv(most)
    except OSError:
        _raise_lost()
    return words or _raise_lost()


def _raise_lost() -> NoReturn:
    raise StageLostError("the neighbouring pipeline stage is gone")
