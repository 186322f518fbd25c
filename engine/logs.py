"""What a serving process logs, and where: the same for the API server and for the engine."""

import json
import logging
import logging.config
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddock.engine.config.environment import is_on
from paddock.engine.config.json_lines import JsonLines

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMS = ("text", "json")
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogConfigError(Exception):
    """Logging cannot be set up as asked; the text names the flag or variable at fault."""


def configure_logging(config_file: str | None, environ: Mapping[str, str]) -> None:
    """Follow --log-config-file, or log to standard error as the three variables PADDOCK_LOGGING_LEVEL,
    PADDOCK_LOGGING_PREFIX and PADDOCK_LOG_FORMAT say.

    With PADDOCK_CONFIGURE_LOGGING=0 Python's logging stays as it is. Raises LogConfigError.
    """
    configures = is_on({"PADDOCK_CONFIGURE_LOGGING": "1", **environ}, "CONFIGURE_LOGGING")
    if config_file is not None:
        if not configures:
            raise LogConfigError(
                "--log-config-file does not go with PADDOCK_CONFIGURE_LOGGING=0: leave one of them out."
            )
        _follow(Path(config_file))
    elif configures:
        _log_to_stderr(environ)


def _log_to_stderr(environ: Mapping[str, str]) -> None:
    level = (environ.get("PADDOCK_LOGGING_LEVEL", "").strip() or "INFO").upper()
    if level not in LEVELS:
        raise LogConfigError(f"PADDOCK_LOGGING_LEVEL is {level!r}; it must be one of {', '.join(LEVELS)}.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(environ))
    # A logger may have a lower level of its own (the HTTP layer's does): what is logged is decided here.
    handler.setLevel(level)
    logging.basicConfig(level=level, handlers=[handler])


def _formatter(environ: Mapping[str, str]) -> logging.Formatter:
    form = environ.get("PADDOCK_LOG_FORMAT", "").strip() or "text"
    if form not in FORMS:
        raise LogConfigError(f"PADDOCK_LOG_FORMAT is {form!r}; it must be one of {', '.join(FORMS)}.")
    prefix = environ.get("PADDOCK_LOGGING_PREFIX", "")
    return JsonLines(prefix) if form == "json" else logging.Formatter(prefix.replace("%", "%%") + FORMAT)


def _follow(path: Path) -> None:
    config = _read(path)
    # Loggers that the file does not name have been made by now; they shall keep logging unless it says otherwise.
    config.setdefault("disable_existing_loggers", False)
    try:
        logging.config.dictConfig(config)
    except Exception as error:  # a handler's class may raise anything
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        raise LogConfigError(f"--log-config-file {path}: {error}{cause}.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise LogConfigError(f"--log-config-file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise LogConfigError(f"--log-config-file {path} is no JSON: {error}.") from error
    if not isinstance(config, dict):
        raise LogConfigError(
            f"--log-config-file {path} must hold a JSON object as logging.config.dictConfig takes it, "
            'for example {"version": 1, "root": {"level": "INFO"}}.'
        )
    return config
