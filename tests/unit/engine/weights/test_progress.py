"""Progress is a bar on a terminal and lines in a log."""

import logging
import sys

import pytest

from paddock.engine.weights import progress
from paddock.engine.weights.progress import LoadProgress


def test_a_log_gets_lines_with_the_amount_and_the_time_left(caplog, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with caplog.at_level(logging.INFO), LoadProgress("loading weights", 4_000_000_000) as bar:
        bar.advance(1_000_000_000)

    assert "loading weights: 1.00 of 4.00 GB" in caplog.messages[0]
    assert caplog.messages[0].endswith("s left")
    assert caplog.messages[1].startswith("loading weights: 4.00 GB in ")


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    with LoadProgress("loading weights", 2000) as bar:
        bar.advance(2000)

    assert "loading weights: 100%" in capsys.readouterr().err


def test_a_load_that_fails_does_not_claim_to_be_done(caplog):
    with caplog.at_level(logging.INFO), pytest.raises(RuntimeError), LoadProgress("loading", 10):
        raise RuntimeError

    assert caplog.messages == []


def test_hidden_progress_says_nothing(caplog):
    with caplog.at_level(logging.INFO), LoadProgress("loading", 10, shown=False) as bar:
        bar.advance(10)

    assert caplog.messages == []
