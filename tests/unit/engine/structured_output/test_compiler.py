"""Compilation goes on beside the steps, within its time and once for all who ask the same."""

import threading

import pytest
from constrained_texts import VOCABULARY

from paddock.engine.structured_output.compiler import CompilersBusyError, GrammarCompiler
from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.grammar_maker import GrammarMaker


class Gate(GrammarMaker):
    """Compiles when it is let."""

    def __init__(self) -> None:
        super().__init__("auto", lambda: VOCABULARY)
        self.open = threading.Event()
        self.begun: list[str] = []

    def make(self, constraint: Constraint):
        self.begun.append(constraint.text)
        self.open.wait()
        if constraint.text == "bad":
            raise ConstraintError("bad")
        return object()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


def regex(text: str) -> Constraint:
    return Constraint(kind="regex", text=text)


def test_equal_constraints_are_compiled_once(gate: Gate) -> None:
    compiler = GrammarCompiler(gate)
    tickets = [compiler.ticket(regex("a")) for _ in range(5)]
    gate.open.set()
    grammars = {id(ticket.grammar.result(10)) for ticket in tickets}
    assert (len(grammars), gate.begun) == (1, ["a"])
    assert tickets[0].outcome() is tickets[0].grammar.result()
    compiler.close()


def test_what_takes_too_long_is_refused_and_what_did_not_begin_may_come_again(gate: Gate) -> None:
    compiler = GrammarCompiler(gate, time_limit_seconds=0)
    running = [compiler.ticket(regex(text)) for text in "ab"]
    while len(gate.begun) < 2:
        threading.Event().wait(0.01)
    assert all(isinstance(ticket.outcome(), ConstraintError) for ticket in running)
    assert isinstance(compiler.ticket(regex("c")).outcome(), CompilersBusyError)
    compiler.close()


def test_the_alarm_tells_of_grammars_and_a_failure_is_not_kept(gate: Gate) -> None:
    import select

    compiler = GrammarCompiler(gate)
    ticket = compiler.ticket(regex("bad"))
    assert select.select([compiler.alarm], [], [], 0)[0] == []
    gate.open.set()
    assert select.select([compiler.alarm], [], [], 10)[0] == [compiler.alarm]
    compiler.hush()
    assert isinstance(ticket.outcome(), ConstraintError)
    assert compiler.ticket(regex("bad")).grammar is not ticket.grammar
    compiler.close()


def test_nobody_waits_for_an_answer_of_the_clock_while_a_library_loads(gate: Gate) -> None:
    compiler = GrammarCompiler(gate, time_limit_seconds=0)
    ticket = compiler.ticket(regex("a"))
    gate.is_loading = True
    assert ticket.outcome() is None
    compiler.close()
