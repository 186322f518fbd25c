"""The model of a running server, as `paddock chat` and `paddock complete` talk with it."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from paddock.server.cli.arguments import FAILED, CommandParser, http_url

if TYPE_CHECKING:
    import openai

DEFAULT_URL = "http://localhost:8000/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"
"""The client insists on a key; a server without keys ignores it."""

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 600.0
INTERRUPTED = 130


class RemoteError(Exception):
    """Why the server gave no answer, and what to do."""


def new_parser(command: str, description: str) -> CommandParser:
    """A parser with the options that both commands have."""
    parser = CommandParser(command, description)
    parser.add_argument(
        "--url", type=http_url, default=DEFAULT_URL, help="base address of the running server (%(default)s)"
    )
    parser.add_argument("--model-name", metavar="NAME", help="model to ask; the first one the server lists")
    parser.add_argument("--api-key", metavar="KEY", help=f"key sent to the server; wins over {KEY_VARIABLE}")
    return parser


class RemoteModel:
    """An `openai` client with the model's name settled."""

    def __init__(self, options: argparse.Namespace, environ: Mapping[str, str]) -> None:
        """Asks the server for its models when none is named. Raises RemoteError."""
        import openai

        key = options.api_key or environ.get(KEY_VARIABLE, "").strip() or NO_KEY
        timeout = openai.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self.url: str = options.url
        self.client = openai.OpenAI(base_url=self.url, api_key=key, timeout=timeout)
        self.name: str = options.model_name or self._first_listed()

    def _first_listed(self) -> str:
        with self.words_for_errors():
            listed = [model.id for model in self.client.models.list()]
        if not listed:
            raise RemoteError(f"{self.url} lists no model; name one with --model-name")
        return listed[0]

    @contextlib.contextmanager
    def words_for_errors(self) -> Iterator[None]:
        """Turn the client's exceptions into RemoteError."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise RemoteError(_refusal(self.url, error)) from None
        except openai.APIConnectionError as error:
            raise RemoteError(
                f"{self.url} cannot be reached: {error.__cause__ or error}. Start a server (paddock serve MODEL), or "
                "name one with --url"
            ) from None
        except (openai.APIError, ValueError) as error:  # an error event in a stream; a page that is no JSON
            raise RemoteError(f"{self.url}: {error}") from None


def _refusal(url: str, error: "openai.APIStatusError") -> str:
    if error.status_code == 401:
        return f"{url} wants an API key: give a valid one with --api-key or {KEY_VARIABLE}"
    body = error.body if isinstance(error.body, dict) else {}
    message = str(body.get("message") or f"the server answered {error.status_code}")
    if error.status_code == 404 and not body.get("param"):  # no model is unknown, so the route is
        return f"{url} is no base address of an OpenAI API, which most often ends in /v1: the answer was 404"
    return message.rstrip(".")


def converse(
    command: str,
    options: argparse.Namespace,
    environ: Mapping[str, str],
    begin: Callable[[RemoteModel], Callable[[str], Iterator[str]]],
) -> int:
    """Answer `--quick`, or each line of standard input, as the text comes; the exit status.

    `begin` makes the answering function, which may remember what was said and raises RemoteError.
    """
    try:
        answer = begin(RemoteModel(options, environ))
        if options.quick is not None:
            _show(answer(options.quick))
            return 0
        return _each_line(command, answer)
    except RemoteError as error:
        print(f"paddock {command}: {error}.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough; nothing more can be flushed to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _each_line(command: str, answer: Callable[[str], Iterator[str]]) -> int:
    """Until the end of input. An error concerns its own line; with a terminal, so does Ctrl-C in an answer."""
    at_terminal = sys.stdin.isatty()
    if at_terminal:
        import readline  # noqa: F401  # gives input() its line editing and history

        print("Ctrl-D ends, Ctrl-C stops an answer.", file=sys.stderr)
    status = 0
    while (line := _next_line(at_terminal)) is not None:
        if not line.strip():
            continue
        try:
            _show(answer(line))
        except RemoteError as error:
            print(f"paddock {command}: {error}.", file=sys.stderr)
            status = 0 if at_terminal else FAILED
        except KeyboardInterrupt:
            if not at_terminal:
                raise
            print()
    return status


def _next_line(at_terminal: bool) -> str | None:
    try:
        return input("> " if at_terminal else "")
    except EOFError:
        if at_terminal:
            print()
        return None


def _show(pieces: Iterator[str]) -> None:
    to_terminal = sys.stdout.isatty()
    for piece in pieces:
        sys.stdout.write(printable(piece) if to_terminal else piece)
        sys.stdout.flush()
    print(flush=True)


def printable(text: str) -> str:
    """The text without control characters: a model must not steer the terminal that shows its words."""
    return "".join(
        each for each in text if each in "\n\t" or each.isprintable() or (each.isspace() and each >= " ")
    )
