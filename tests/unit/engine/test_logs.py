"""What is logged and where, seen from a process of its own: logging is set up once per process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import logging, os, sys
early = logging.getLogger("paddock.early")
from paddock.engine.logs import LogConfigError, configure_logging
try:
    configure_logging(sys.argv[1] or None, os.environ)
except LogConfigError as error:
    sys.exit(f"refused: {error}")
logging.getLogger("uvicorn.access").setLevel("INFO")
logging.getLogger("uvicorn.access").info("a request")
early.debug("fine detail")
early.info("news")
early.error("trouble")
"""


def log(config_file: str | Path = "", **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config_file)],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    return done.stderr


def test_by_default_news_are_logged_with_time_level_and_name() -> None:
    text = log()
    assert " INFO paddock.early: news\n" in text
    assert "fine detail" not in text


@pytest.mark.parametrize(
    ("level", "lines"), [("debug", 4), ("INFO", 3), ("WARNING", 1), ("Error", 1), ("CRITICAL", 0)]
)
def test_the_level_is_the_lowest_that_is_logged_by_anyone(level: str, lines: int) -> None:
    assert log(PADDOCK_LOGGING_LEVEL=level).count("\n") == lines


def test_a_prefix_stands_before_every_line() -> None:
    assert all(line.startswith("100% me: 2") for line in log(PADDOCK_LOGGING_PREFIX="100% me: ").splitlines())


def test_as_json_every_line_is_an_object_that_carries_the_prefix() -> None:
    text = log(PADDOCK_LOG_FORMAT="json", PADDOCK_LOGGING_PREFIX="rank 1")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
        ("info", "uvicorn.access", "a request"),
        ("info", "paddock.early", "news"),
        ("error", "paddock.early", "trouble"),
    ]
    assert {line["prefix"] for line in lines} == {"rank 1"}


def test_an_unknown_form_names_the_variable_and_the_forms() -> None:
    assert "refused: PADDOCK_LOG_FORMAT is 'xml'; it must be one of text, json" in log(
        PADDOCK_LOG_FORMAT="xml"
    )


def test_an_unknown_level_names_the_variable_and_the_levels() -> None:
    assert "refused: PADDOCK_LOGGING_LEVEL is 'LOUD'; it must be one of DEBUG, INFO" in log(
        PADDOCK_LOGGING_LEVEL="LOUD"
    )


def test_logging_left_alone_is_pythons_own() -> None:
    assert log(PADDOCK_CONFIGURE_LOGGING="0") == "trouble\n"


def config(folder: Path, **changes: Any) -> Path:
    file = folder / "logging.json"
    handler = {"class": "logging.FileHandler", "filename": str(folder / "log"), "formatter": "short"}
    formatters = {"short": {"format": "%(name)s|%(message)s"}}
    whole = {"version": 1, "formatters": formatters, "handlers": {"file": handler}}
    file.write_text(json.dumps({**whole, "root": {"level": "INFO", "handlers": ["file"]}, **changes}))
    return file


def test_a_file_decides_everything(tmp_path: Path) -> None:
    assert log(config(tmp_path), PADDOCK_LOGGING_LEVEL="CRITICAL") == ""
    assert (tmp_path / "log").read_text() == (
        "uvicorn.access|a request\npaddock.early|news\npaddock.early|trouble\n"
    )


def test_a_file_may_silence_the_loggers_it_does_not_name(tmp_path: Path) -> None:
    log(config(tmp_path, disable_existing_loggers=True))
    assert "paddock.early" not in (tmp_path / "log").read_text()


def test_a_file_does_not_go_with_logging_left_alone(tmp_path: Path) -> None:
    assert "PADDOCK_CONFIGURE_LOGGING=0" in log(config(tmp_path), PADDOCK_CONFIGURE_LOGGING="0")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "is no JSON"),
        ("[]", "JSON object"),
        ("{}", "version"),
        ('{"version": 1, "handlers": {"h": {"class": "no.such.Handler"}}}', "no.such|Unable to configure"),
        ('{"version": 1, "root": {"level": "LOUD"}}', "root"),
    ],
)
def test_a_file_that_cannot_be_followed_is_named_with_its_fault(
    tmp_path: Path, text: str, fault: str
) -> None:
    import re

    file = tmp_path / "logging.json"
    file.write_text(text)
    said = log(file)
    assert said.startswith(f"refused: --log-config-file {file}")
    assert re.search(fault, said)
    assert "Traceback" not in said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.json cannot be read: No such file" in log(tmp_path / "nowhere.json")
