"""Commands that take every engine argument of `paddock serve` beside their own."""

import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from paddock.server.cli.arguments import USAGE_ERROR

if TYPE_CHECKING:
    from paddock.engine.config import Sourced
    from paddock.engine.config.layer import Field

logger = logging.getLogger("paddock.server")
SERVER_GROUPS = ("frontend", "service")
TYPED = ("command line", "file")
"""Where an argument was meant for this command; the environment may be that of a server."""

EPILOG = (
    "MODEL and every engine argument of paddock serve may be given, too, --config included; "
    "paddock serve --help=all lists them. Those that only an HTTP server can follow are refused."
)


def read_engine_arguments(
    command: str,
    words: Sequence[str],
    environ: Mapping[str, str],
    allowed: Collection["Field"],
    announce: bool = True,
) -> "Sourced":
    """The configuration. Prints what is wrong, and ends the process with the status for it.

    `announce` warns of deprecated arguments. Those of the HTTP server are refused by name, but for the `allowed` ones.
    """
    from paddock.engine.config import ArgumentError
    from paddock.engine.config.sources import read_sources

    try:
        given = read_sources(words, environ, logger.warning if announce else lambda _: None)
    except ArgumentError as error:
        print(f"paddock {command}: {error}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from None
    if refused := refusals(command, given, allowed):
        print("\n".join(f"paddock {command}: {refusal}" for refusal in refused), file=sys.stderr)
        raise SystemExit(USAGE_ERROR)
    return given


def refusals(command: str, given: "Sourced", allowed: Collection["Field"]) -> list[str]:
    """What was typed and cannot have an effect here."""
    from paddock.engine.config.naming import flag_of

    return [
        f"{flag_of(name)}: paddock {command} serves nobody over HTTP, so it would have no effect; leave it out"
        for (group, name), source in given.sources.items()
        if group in SERVER_GROUPS
        and source in TYPED
        and (group, name) not in {("service", "config"), *allowed}
    ]
