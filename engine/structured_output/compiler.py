"""Compiles constraints beside the engine's steps: in threads, within a time, once for all requests that have the same.

A thread cannot be ended from outside. So a constraint that takes too long is given up by its requests and goes on in its
thread, at a lower priority; when it comes to its end after all, the next request finds it in the cache.
"""

import contextlib
import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from paddock.engine.structured_output.backend import Grammar
from paddock.engine.structured_output.constraint import Constraint, cache_key
from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.grammar_maker import GrammarMaker

NUM_THREADS = 2
TIME_LIMIT_SECONDS = 10.0
LOADING_SECONDS = 60.0
"""More for those who come while a library is loaded."""

MOST_CACHED = 256
NICENESS = 5


class CompilersBusyError(RuntimeError):
    """Others' constraints took all the time there was: the same request may succeed later."""


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A request's wait for its grammar."""

    grammar: "Future[Grammar]"
    deadline: float
    maker: GrammarMaker

    def outcome(self) -> "Grammar | ConstraintError | CompilersBusyError | None":
        """None while it may still come."""
        if self.grammar.done():
            return _outcome_of(self.grammar)
        patience = LOADING_SECONDS if self.maker.is_loading else 0.0
        if time.monotonic() < self.deadline + patience:
            return None
        if self.grammar.running():
            return ConstraintError("it takes too long to compile; make it simpler")
        return CompilersBusyError("the compilers of constraints are busy with others' constraints")


class GrammarCompiler:
    """Single-threaded from outside; `alarm` turns readable when a ticket has its grammar."""

    def __init__(self, maker: GrammarMaker, time_limit_seconds: float = TIME_LIMIT_SECONDS) -> None:
        self.maker = maker
        self._time_limit = time_limit_seconds
        self._known: OrderedDict[bytes, Future[Grammar]] = OrderedDict()
        self._pool = ThreadPoolExecutor(NUM_THREADS, "grammar", initializer=_yield_to_steps)
        self.alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = threading.Lock()
        self._is_closed = False

    def ticket(self, constraint: Constraint) -> Ticket:
        """At once; constraints that are in the cache or under way are not compiled again."""
        key = cache_key(constraint)
        grammar = self._known.get(key)
        if grammar is None or (grammar.done() and grammar.exception() is not None):
            grammar = self._known[key] = self._begin(constraint)
        self._known.move_to_end(key)
        while len(self._known) > MOST_CACHED:
            self._known.popitem(last=False)
        return Ticket(grammar, time.monotonic() + self._time_limit, self.maker)

    def _begin(self, constraint: Constraint) -> "Future[Grammar]":
        grammar = self._pool.submit(self.maker.make, constraint)
        grammar.add_done_callback(lambda _: self._ring())
        return grammar

    def _ring(self) -> None:
        with self._closing:
            if not self._is_closed:
                os.eventfd_write(self.alarm, 1)

    def hush(self) -> None:
        """Make `alarm` wait for the next grammar."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.alarm)

    def close(self) -> None:
        """Safe to call twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                os.close(self.alarm)


def _outcome_of(grammar: "Future[Grammar]") -> Grammar | ConstraintError:
    error = grammar.exception()
    if error is None:
        return grammar.result()
    return (
        error if isinstance(error, ConstraintError) else ConstraintError(f"{type(error).__name__}: {error}")
    )


def _yield_to_steps() -> None:
    # On Linux this is the thread's own priority.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
