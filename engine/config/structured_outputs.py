"""Constrained output and reasoning."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.successors import key_of
from paddock.engine.config.values import Text


class StructuredOutputsConfig(Group):
    """Constrained output and reasoning."""

    guided_decoding_backend: (
        Literal["auto", "guidance", "outlines", "xgrammar", "lm-format-enforcer"] | None
    ) = arg(
        None,
        "Chooses the engine that constrains output to a schema, regex or grammar; auto decides per request.",
        state=State.DEPRECATED,
        successor=key_of("engine.structured_outputs_config", "backend"),
    )

    guided_decoding_disable_additional_properties: bool | None = arg(
        None,
        "The guidance backend forbids JSON properties that the schema does not name.",
        state=State.DEPRECATED,
        successor=key_of("engine.structured_outputs_config", "disable_additional_properties"),
    )

    guided_decoding_disable_any_whitespace: bool | None = arg(
        None,
        "Constrained JSON contains no free whitespace.",
        state=State.DEPRECATED,
        successor=key_of("engine.structured_outputs_config", "disable_any_whitespace"),
    )

    guided_decoding_disable_fallback: bool | None = arg(
        None,
        "A backend that cannot handle a constraint is an error instead of another backend being tried.",
        state=State.DEPRECATED,
        successor=key_of("engine.structured_outputs_config", "disable_fallback"),
    )

    reasoning_parser: Text = arg(
        "",
        "Separates the model's thinking from its answer and returns it as reasoning content.",
        state=State.WORKS,
    )
