"""`paddock serve`: arguments, files and the port are checked before anything slow begins."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddock.engine.config.layer import Sourced

logger = logging.getLogger("paddock.server")

FAILED = 1
USAGE_ERROR = 2
PRINT_CONFIG = "--print-config"


def serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until stopped; the exit status."""
    from paddock.engine.config import ArgumentError, help_text
    from paddock.engine.config.sources import read_sources

    words = [word for word in argv if word != PRINT_CONFIG]
    try:
        topic = help_topic(words)
        if topic is not None:
            print(help_text(topic or None))
            return 0
        given = read_sources(words, environ)
    except ArgumentError as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return USAGE_ERROR
    return _print_config(given) if PRINT_CONFIG in argv else _run(given, environ)


def help_topic(argv: Sequence[str]) -> str | None:
    """What `--help`, `-h` or `--help=TOPIC` asks for: None when absent, empty when no topic is named."""
    for argument in argv:
        if argument in ("-h", "--help"):
            return ""
        if argument.startswith("--help="):
            return argument.removeprefix("--help=")
    return None


def _print_config(given: "Sourced") -> int:
    """`--print-config`: the effective values and their origins, as YAML that `--config` reads; nothing is loaded."""
    from paddock.engine.config.effective import print_config
    from paddock.engine.models.errors import CheckpointError
    from paddock.engine.models.shape import ModelShape
    from paddock.engine.settings import EngineSettings, SettingsError

    from_model = None
    folder = Path(given.config.model.model)
    try:
        if folder.is_dir():
            settings = EngineSettings.resolve(given.config, ModelShape.read(folder, given.config.model))
            from_model = {
                ("model", "max_model_len"): settings.max_model_len,
                ("model", "dtype"): settings.dtype,
            }
    except (CheckpointError, SettingsError) as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return FAILED
    print(print_config(given, from_model), end="")
    return 0


def _run(given: "Sourced", environ: Mapping[str, str]) -> int:
    from paddock.engine.config.effective import effective
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
    config = given.config
    chosen = ", ".join(
        f"{flag}={entry['value']} ({entry['origin']})" for flag, entry in effective(given).items()
    )
    logger.info("arguments: %s; all others at their defaults", chosen or "none given")
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
