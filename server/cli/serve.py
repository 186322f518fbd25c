"""`paddock serve`: arguments, files and the port are checked before anything slow begins."""

import contextlib
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
        elsewhere = given.config.model.hf_config_path
        if folder.is_dir() and (elsewhere is None or Path(elsewhere).expanduser().exists()):
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
    from paddock.engine.logs import LogConfigError, configure_logging
    from paddock.engine.models.checkpoint import resolve_config_path
    from paddock.engine.settings import SettingsError
    from paddock.server.headless import follows, run_headless
    from paddock.server.listener import Listeners
    from paddock.server.process import run_server
    from paddock.server.startup import START_FAILURES, Timeouts, load_assets

    config = given.config
    try:
        configure_logging(config.frontend.log_config_file, environ)
    except LogConfigError as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return USAGE_ERROR
    chosen = ", ".join(
        f"{flag}={entry['value']} ({entry['origin']})" for flag, entry in effective(given).items()
    )
    logger.info("arguments: %s; all others at their defaults", chosen or "none given")
    try:
        if follows(config, environ):
            return run_headless(config, environ)
        Timeouts.read(environ)  # for its errors
        config = config.model_copy(update={"model": resolve_config_path(config.model, config.load)})
        count = config.service.api_server_count
        with contextlib.closing(Listeners.open(config.frontend, count)) as listeners:
            return run_server(config, load_assets(config), listeners)
    except SettingsError as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return USAGE_ERROR
    except START_FAILURES as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return FAILED
