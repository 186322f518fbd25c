"""`paddock`: choose the subcommand."""

import os
import sys
from collections.abc import Callable, Sequence

USAGE = """\
usage: paddock [--help] [--version] COMMAND …

Serve language models.

commands:
  serve MODEL [--flags]   load a model and serve the OpenAI API until stopped
                          (paddock serve --help lists the flags)
  chat                    talk with a running server
  complete                complete text with a running server
  bench serve|latency|throughput
                          measure a running server, or the engine by itself
  run-batch -i IN -o OUT MODEL [--flags]
                          answer a file of requests in the OpenAI batch format
  fetch ADDRESS --into FOLDER
                          download a model from a hub, a bucket or an archive
  collect-env             print the versions that a bug report needs
  manifest --name NAME -- COMMAND
                          print the InferenceService for a serving command line
                          (manifest --check FILE checks one as the API server does)
  status NAME [-n NAMESPACE]
                          show what an InferenceService runs, what is wrong and what to do

options:
  -h, --help              print this; paddock COMMAND --help says more of a command
  -v, --version           print the version
"""
USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0 fine, 1 failed, 2 an argument is wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command in ("-v", "--version"):
        from paddock import __version__

        print(__version__)
        return 0
    if command in COMMANDS:
        return COMMANDS[command](arguments[1:])
    print(
        f"paddock: {command!r} is no command; there are: {', '.join(COMMANDS)}. paddock --help says more.",
        file=sys.stderr,
    )
    return USAGE_ERROR


def _serve(argv: Sequence[str]) -> int:
    from paddock.server.cli.serve import serve

    return serve(argv, os.environ)


def _chat(argv: Sequence[str]) -> int:
    from paddock.server.cli.chat import chat

    return chat(argv, os.environ)


def _complete(argv: Sequence[str]) -> int:
    from paddock.server.cli.complete import complete

    return complete(argv, os.environ)


def _bench(argv: Sequence[str]) -> int:
    from paddock.server.cli.bench import bench

    return bench(argv, os.environ)


def _run_batch(argv: Sequence[str]) -> int:
    from paddock.server.cli.run_batch import run_batch

    return run_batch(argv, os.environ)


def _collect_env(argv: Sequence[str]) -> int:
    from paddock.server.cli.collect_env import collect_env

    return collect_env(argv, os.environ)


def _fetch(argv: Sequence[str]) -> int:
    from paddock.server.cli.fetch import fetch

    return fetch(argv, os.environ)


def _manifest(argv: Sequence[str]) -> int:
    from paddock.server.cli.manifest import manifest

    return manifest(argv)


def _status(argv: Sequence[str]) -> int:
    from paddock.server.cli.status import status

    return status(argv)


# Each imports its command when it is called: help stays instant.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "serve": _serve,
    "chat": _chat,
    "complete": _complete,
    "bench": _bench,
    "run-batch": _run_batch,
    "fetch": _fetch,
    "collect-env": _collect_env,
    "manifest": _manifest,
    "status": _status,
}
