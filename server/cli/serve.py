"""`paddock serve`: arguments, files and the port are checked before anything slow begins."""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

FAILED = 1
USAGE_ERROR = 2


def serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until stopped; the exit status."""
    from paddock.engine.config import ArgumentError, help_text, parse_serve

    try:
        topic = help_topic(argv)
        if topic is not None:
            print(help_text(topic or None))
            return 0
        config = parse_serve(argv, environ)
    except ArgumentError as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return USAGE_ERROR
    return _run(config, environ)


def help_topic(argv: Sequence[str]) -> str | None:
    """What `--help`, `-h` or `--help=TOPIC` asks for: None when absent, empty when no topic is named."""
    for argument in argv:
        if argument in ("-h", "--help"):
            return ""
        if argument.startswith("--help="):
            return argument.removeprefix("--help=")
    return None


def _run(config: "ServeConfig", environ: Mapping[str, str]) -> int:
    from paddock.engine.models.errors import CheckpointError
    from paddock.engine.settings import SettingsError
    from paddock.server.chat.template import TemplateError
    from paddock.server.http_server import PortError, bind
    from paddock.server.process import run_server
    from paddock.server.sampling_defaults import GenerationConfigError
    from paddock.server.startup import StartError, Timeouts, load_assets
    from paddock.server.tokens.tokenizer import TokenizerError

    failures = (CheckpointError, PortError, StartError, TemplateError, GenerationConfigError, TokenizerError)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        timeouts = Timeouts.read(environ)
        listener = bind(config.frontend.host, config.frontend.port)
        return run_server(config, load_assets(config), listener, timeouts)
    except SettingsError as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return USAGE_ERROR
    except failures as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return FAILED
