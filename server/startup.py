"""What is read before the engine starts, so that a fault in it costs no loading time."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paddock.engine.config import ServeConfig
from paddock.engine.models.checkpoint import resolve_model, resolve_tokenizer
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings
from paddock.server.chat.template import ChatTemplate, TemplateError, load_chat_template
from paddock.server.generation.answer_parsers import AnswerParsers
from paddock.server.generation.constraints import Constraints
from paddock.server.listener import PortError
from paddock.server.middleware.imported import MiddlewareError
from paddock.server.middleware.imported import load as load_middleware
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.reasoning.registry import ReasoningParserError
from paddock.server.sampling_defaults import GenerationConfigError, SamplingDefaults, read_sampling_defaults
from paddock.server.step_feed import DEFAULT_CHUNK
from paddock.server.tls import TlsError, new_context
from paddock.server.tokens.choice import load_tokenizer
from paddock.server.tokens.tokenizer import Tokenizer, TokenizerError
from paddock.server.tools.registry import ToolParserError
from paddock.server.tracing.export import TracingError, open_export

LONGEST_TIMEOUT_SECONDS = 86_400.0
LEAST_SILENCE_SECONDS = 2.0
LEAST_STEP_SECONDS = 1.0
"""An engine tells the age of its step each second. What takes longer than is borne ends the server."""
LEAST_INTERVAL_SECONDS = 0.1


class StartError(Exception):
    """The server cannot start; one paragraph that says why and what to do."""


@dataclass(frozen=True)
class Assets:
    """The files of the model that the API server itself uses."""

    model_path: Path
    tokenizer: Tokenizer
    chat_template: ChatTemplate | None
    defaults: SamplingDefaults
    parsers: AnswerParsers
    constraints: Constraints
    pooling: PoolingModel | None


START_FAILURES = (
    CheckpointError,
    GenerationConfigError,
    MiddlewareError,
    PortError,
    ReasoningParserError,
    StartError,
    TemplateError,
    TlsError,
    TokenizerError,
    ToolParserError,
    TracingError,
)
"""What keeps a server from starting and is told in words, without a traceback."""


def load_assets(config: ServeConfig) -> Assets:
    """Find the model and read what the engine is not needed for.

    Raises SettingsError or one of START_FAILURES, each with a text to print.
    """
    # Read for their errors alone: each API server reads them again.
    outputs_per_turn(os.environ)
    step_sizes_interval(os.environ)
    load_middleware(config.frontend.middleware)
    if config.frontend.ssl_certfile is not None:
        new_context(config.frontend)
    export = open_export(config.observability, os.environ)
    if export is not None:
        export.close()
    _check_adapter_names(config)
    model_path = resolve_model(config.model, config.load)
    # Resolved here for its errors first; the engine's process derives the same values for itself.
    settings = EngineSettings.resolve(config, ModelShape.read(model_path, config.model))
    tokenizer_path = resolve_tokenizer(config.model, config.load, model_path)
    tokenizer = load_tokenizer(config.model, tokenizer_path, config.load.download_dir)
    return Assets(
        model_path=model_path,
        tokenizer=tokenizer,
        chat_template=load_chat_template(
            tokenizer, config.frontend.chat_template, config.frontend.chat_template_content_format
        ),
        defaults=read_sampling_defaults(
            model_path,
            config.model.generation_config,
            config.model.override_generation_config.model_dump(exclude_none=True),
        ),
        parsers=AnswerParsers.load(config.frontend, config.structured_outputs.reasoning_parser, tokenizer),
        constraints=Constraints.load(config, tokenizer),
        pooling=None if settings.pooling is None else PoolingModel(settings.pooling, settings.max_num_seqs),
    )


def _check_adapter_names(config: ServeConfig) -> None:
    taken = {*(config.model.served_model_name or (str(config.model.model),))}
    for module in config.frontend.lora_modules or ():
        if module.name in taken:
            raise StartError(
                f"--lora-modules: {module.name!r} is the name of the model or of another adapter; requests choose by name, "
                "so give each its own."
            )
        taken.add(module.name)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, from the environment."""

    drain: float = 300.0
    step: float = 300.0
    silence: float = 10.0
    """How long the engine may say nothing, not even that it works, before it counts as lost (PADDOCK_RPC_TIMEOUT)."""

    @staticmethod
    def read(environ: Mapping[str, str]) -> "Timeouts":
        """Raises StartError for a value that is no number of seconds."""
        return Timeouts(
            _seconds(environ, "PADDOCK_DRAIN_TIMEOUT_SECONDS", Timeouts().drain),
            _seconds(environ, "PADDOCK_STEP_TIMEOUT_SECONDS", Timeouts().step, LEAST_STEP_SECONDS),
            _silence(environ),
        )


def outputs_per_turn(environ: Mapping[str, str]) -> int:
    """How many outputs of an engine are handed out at a turn of the event loop. Raises StartError."""
    text = environ.get("PADDOCK_V1_OUTPUT_PROC_CHUNK_SIZE", "").strip()
    if not text:
        return DEFAULT_CHUNK
    count = int(text) if text.isdecimal() else 0
    if count < 1:
        raise StartError(
            f"PADDOCK_V1_OUTPUT_PROC_CHUNK_SIZE is {text!r}; it must be a whole number of at least 1."
        )
    return count


def step_sizes_interval(environ: Mapping[str, str]) -> float | None:
    """Seconds between the log's lines on sizes of steps; None is without them. Raises StartError."""
    text = environ.get("PADDOCK_LOG_BATCHSIZE_INTERVAL", "").strip()
    seconds = float(text) if text else -1.0
    if 0 <= seconds < LEAST_INTERVAL_SECONDS:
        raise StartError(
            f"PADDOCK_LOG_BATCHSIZE_INTERVAL is {text!r}; it must be at least {LEAST_INTERVAL_SECONDS:g} seconds, or -1 "
            "for no such lines."
        )
    return seconds if seconds > 0 else None


def _silence(environ: Mapping[str, str]) -> float:
    text = environ.get("PADDOCK_RPC_TIMEOUT", "").strip()
    if not text:
        return Timeouts().silence
    milliseconds = int(text) if text.isdecimal() else 0
    if not LEAST_SILENCE_SECONDS <= milliseconds / 1000 <= LONGEST_TIMEOUT_SECONDS:
        raise StartError(
            f"PADDOCK_RPC_TIMEOUT is {text!r}; it must be a whole number of milliseconds from "
            f"{1000 * LEAST_SILENCE_SECONDS:.0f} to {1000 * LONGEST_TIMEOUT_SECONDS:.0f}: the engine speaks each second."
        )
    return milliseconds / 1000


def _seconds(environ: Mapping[str, str], name: str, default: float, least: float = 0.0) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= LONGEST_TIMEOUT_SECONDS:
        raise StartError(
            f"{name} is {text!r}; it must be a number of seconds from {least:g} to {LONGEST_TIMEOUT_SECONDS:.0f}."
        )
    return seconds
