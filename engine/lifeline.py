"""How the engine's process knows that it is no longer wanted: a pipe, and the kernel's word on its parent."""

import ctypes
import os
import signal
import threading
import time

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when the thread that started it ends."""


class Lifeline:
    """The reading end of a pipe that the parent holds open. It ends when the parent closes it, or dies."""

    def __init__(self, descriptor: int, grace_seconds: float | None = 3.0) -> None:
        """Once the pipe ends, a process that is still there after `grace_seconds` (stuck in a step) is ended.

        None leaves that to others: an engine that shares its process must not end it.
        """
        self.descriptor = descriptor
        self._grace_seconds = grace_seconds
        self._has_ended = False
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        return self._has_ended

    def _watch(self) -> None:
        while os.read(self.descriptor, 1024):
            pass
        self._has_ended = True
        if self._grace_seconds is None:
            return
        time.sleep(self._grace_seconds)
        os._exit(1)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies; Linux. Ends at once if the parent is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)
