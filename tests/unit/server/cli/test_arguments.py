"""What the subcommands' parsers promise, and that help is instant."""

import subprocess
import sys

import pytest

from paddock.server.cli.arguments import CommandParser, http_url, key_value, number, whole
from paddock.server.cli.main import COMMANDS, USAGE, main
from paddock.server.cli.remote_model import printable

Output = pytest.CaptureFixture[str]

LOADED = """
import sys
from paddock.server.cli.main import main
try:
    main({words!r})
except SystemExit:
    pass
print(sorted(sys.modules.keys() & {{'torch', 'transformers', 'openai', 'aiohttp', 'matplotlib', 'numpy'}}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["chat", "--help"],
        ["complete", "--help"],
        ["bench", "--help"],
        ["bench", "serve", "--help"],
        ["bench", "latency", "--help"],
        ["bench", "throughput", "--help"],
        ["run-batch", "--help"],
        ["collect-env", "--help"],
    ],
    ids=" ".join,
)
def test_help_prints_usage_and_loads_nothing_heavy(words: list[str]) -> None:
    command = [sys.executable, "-c", LOADED.format(words=words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: paddock ")
    assert done.stderr.strip() == "[]"


def test_every_command_is_in_the_usage(capsys: Output) -> None:
    assert all(f"\n  {command} " in USAGE or f"\n  {command}\n" in USAGE for command in COMMANDS)
    assert main(["dance"]) == 2
    assert "'dance' is no command; there are: serve, chat" in capsys.readouterr().err


def test_underscores_stand_for_dashes_in_flags_alone() -> None:
    parser = CommandParser("test", "")
    parser.add_argument("--model-name")
    assert parser.parse_args(["--model_name", "a_b"]).model_name == "a_b"
    assert parser.parse_args(["--model_name=a_b"]).model_name == "a_b"


def test_a_flag_is_not_guessed_from_its_beginning(capsys: Output) -> None:
    parser = CommandParser("test", "")
    parser.add_argument("--model-name")
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--model", "x"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("paddock test: unrecognized arguments: --model x.")


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (whole(1), "0", "'0' is no whole number of at least 1"),
        (whole(0, 65535), "70000", "'70000' is no whole number from 0 to 65535"),
        (number("a number above 0", lambda value: value > 0), "nan", "'nan' is not a number above 0"),
        (http_url, "localhost:8000", "'localhost:8000' is no address such as http://localhost:8000"),
        (http_url, "http://[", "'http://[' is no address such as http://localhost:8000"),
        (key_value, "a", "'a' is not KEY=VALUE"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    kind: object, text: str, problem: str, capsys: Output
) -> None:
    parser = CommandParser("test", "")
    parser.add_argument("--it", type=kind)  # type: ignore[arg-type]
    with pytest.raises(SystemExit):
        parser.parse_args(["--it", text])
    assert f"argument --it: {problem}." in capsys.readouterr().err


def test_a_model_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\tc\r\x07\nd\x9be é日") == "a[2Jb\tc\nde é日"
