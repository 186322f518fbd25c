"""`paddock`: choose the subcommand."""

import os
import sys
from collections.abc import Sequence

USAGE = """\
usage: paddock [--help] [--version] COMMAND …

Serve language models.

commands:
  serve MODEL [--flags]   load a model and serve the OpenAI API until stopped
                          (paddock serve --help lists the flags)
  manifest --name NAME -- COMMAND
                          print the InferenceService for a serving command line
                          (manifest --check FILE checks one as the API server does)
options:
  -h, --help              print this
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
    if command == "serve":
        from paddock.server.cli.serve import serve

        return serve(arguments[1:], os.environ)
    if command == "manifest":
        from paddock.server.cli.manifest import manifest

        return manifest(arguments[1:])
    print(
        f"paddock: {command!r} is no command; there are: serve, manifest. paddock --help says more.",
        file=sys.stderr,
    )
    return USAGE_ERROR
