"""What is read before the engine starts, so that a fault in it costs no loading time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paddock.engine.config import ServeConfig
from paddock.engine.models.checkpoint import resolve_model
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings
from paddock.server.chat.template import ChatTemplate, load_chat_template
from paddock.server.sampling_defaults import SamplingDefaults, read_sampling_defaults
from paddock.server.tokens.tokenizer import Tokenizer

LONGEST_TIMEOUT_SECONDS = 86_400.0


class StartError(Exception):
    """The server cannot start; one paragraph that says why and what to do."""


@dataclass(frozen=True)
class Assets:
    """The files of the model that the API server itself uses."""

    model_path: Path
    tokenizer: Tokenizer
    chat_template: ChatTemplate | None
    defaults: SamplingDefaults


def load_assets(config: ServeConfig) -> Assets:
    """Find the model and read what the engine is not needed for.

    Raises CheckpointError, SettingsError, TokenizerError, TemplateError or GenerationConfigError, each with a
    text to print.
    """
    model_path = resolve_model(config.model, config.load)
    # Resolved here for its errors alone; the engine's process derives the same values for itself.
    EngineSettings.resolve(config, ModelShape.read(model_path, config.model))
    named = config.model.tokenizer
    tokenizer = Tokenizer(model_path if named is None else _tokenizer_folder(config, named))
    return Assets(
        model_path=model_path,
        tokenizer=tokenizer,
        chat_template=load_chat_template(tokenizer, config.frontend.chat_template),
        defaults=read_sampling_defaults(
            model_path,
            config.model.generation_config,
            config.model.override_generation_config.model_dump(exclude_none=True),
        ),
    )


def _tokenizer_folder(config: ServeConfig, name: str) -> Path:
    """A tokenizer is found like a model, but for the weights."""
    try:
        return resolve_model(
            config.model.model_copy(update={"model": name}),
            config.load.model_copy(update={"load_format": "dummy"}),
        )
    except CheckpointError as error:
        raise CheckpointError(f"--tokenizer: {error}") from None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, from the environment."""

    drain: float = 300.0
    step: float = 300.0

    @staticmethod
    def read(environ: Mapping[str, str]) -> "Timeouts":
        """Raises StartError for a value that is no number of seconds."""
        return Timeouts(
            _seconds(environ, "PADDOCK_DRAIN_TIMEOUT_SECONDS", Timeouts().drain),
            _seconds(environ, "PADDOCK_STEP_TIMEOUT_SECONDS", Timeouts().step),
        )


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_TIMEOUT_SECONDS:
        raise StartError(
            f"{name} is {text!r}; it must be a number of seconds from 0 to {LONGEST_TIMEOUT_SECONDS:.0f}."
        )
    return seconds
