"""Rotary position embedding as a checkpoint's config.json states it. Torch-free."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from paddock.engine.models.errors import CheckpointError

RopeKind = Literal["default", "linear", "dynamic", "llama3", "yarn", "longrope"]

KEYS_OF_KIND: dict[RopeKind, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": (
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    ),
    "longrope": (
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "short_factor",
        "long_factor",
    ),
}
"""What each kind of scaling takes beside rope_theta."""

OLD_NAMES = {"su": "longrope"}
"""Kinds that some checkpoints still call by their first name."""


@dataclass(frozen=True)
class RopeShape:
    """Frequencies are theta ** (-2i / rotary_dim), then stretched as `kind` says."""

    theta: float
    kind: RopeKind = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192
    """Positions that the model saw before it was stretched; what dynamic grows beyond."""

    attention_scale: float = 1.0
    """On cosines and sines both, so that attention logits grow by its square."""

    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    """YaRN: the turns at which a dimension is no longer, or wholly, interpolated; on whole dimensions."""

    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()
    """LongRoPE: a divisor for each frequency, up to the original context and beyond it."""

    partial_rotary_factor: float = 1.0
    """Share of a head's dimensions that is rotated."""

    @staticmethod
    def read(config: Mapping[str, Any], source: str) -> "RopeShape":
        """Reads `rope_parameters` (transformers 5) or `rope_theta` with `rope_scaling` (before).

        Raises `CheckpointError` for a kind that is not implemented; ignoring it would give wrong text.
        """
        nested = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if not isinstance(nested, Mapping):
            raise CheckpointError(f"{source}: rope_parameters is {nested!r}; expected an object.")
        if any(isinstance(value, Mapping) for value in nested.values()):
            raise CheckpointError(
                f"{source}: rope_parameters per kind of layer ({', '.join(nested)}) is not supported."
            )
        values = _Values(nested, config, source)
        kind = rope_kind(nested, source)
        partial = values.number("partial_rotary_factor", config.get("partial_rotary_factor") or 1.0)
        theta = values.number("rope_theta", config.get("rope_theta") or 10000.0)
        if theta <= 1:
            raise CheckpointError(f"{source}: rope_theta is {theta:g}; expected a number above 1.")
        return _READERS[kind](values, theta, partial)

    def context_length(self, max_position_embeddings: int) -> int:
        """Tokens that the model can place, when its configuration says `max_position_embeddings`.

        Linear, dynamic and YaRN scaling stretch the context by their factor; checkpoints with llama3 and longrope
        scaling state the stretched length already.
        """
        if self.kind in ("linear", "dynamic"):
            return int(max_position_embeddings * self.factor)
        if self.kind == "yarn":
            return max(max_position_embeddings, int(self.original_max_position_embeddings * self.factor))
        return max_position_embeddings


def rope_kind(nested: Mapping[str, Any], source: str) -> RopeKind:
    """The kind of scaling. Raises `CheckpointError` listing those there are."""
    kind = nested.get("rope_type", nested.get("type", "default"))
    kind = OLD_NAMES.get(kind, kind) if isinstance(kind, str) else kind
    if kind not in KEYS_OF_KIND:
        raise CheckpointError(
            f"{source}: rope type {kind!r} is not supported; supported: {', '.join(KEYS_OF_KIND)}."
        )
    return cast(RopeKind, kind)


@dataclass(frozen=True)
class _Values:
    """The keys of a scaling, each read with its check."""

    nested: Mapping[str, Any]
    config: Mapping[str, Any]
    source: str

    def number(self, name: str, default: float | None) -> float:
        """A finite number above 0; `default` None makes the key necessary."""
        value = self.nested.get(name)
        value = default if value is None else value
        if value is None:
            raise CheckpointError(
                f"{self.source}: rope type {rope_kind(self.nested, self.source)!r} needs a {name}, and none is given."
            )
        good = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and value > 0
        )
        if not good:
            raise CheckpointError(f"{self.source}: rope {name} is {value!r}; expected a number above 0.")
        return float(value)

    def optional(self, name: str) -> float | None:
        """None for a key that is absent or 0, which means the same to those who write these files."""
        return self.number(name, None) if self.nested.get(name) else None

    def factors(self, name: str) -> tuple[float, ...]:
        value = self.nested.get(name)
        items = list(value) if isinstance(value, list | tuple) else []
        if not items or not all(type(item) in (int, float) and item > 0 for item in items):
            raise CheckpointError(
                f"{self.source}: rope type 'longrope' needs {name}: a list of numbers above 0, one for each frequency."
            )
        return tuple(map(float, items))

    def max_position_embeddings(self) -> int:
        return int(self.config.get("max_position_embeddings") or 8192)

    def original_length(self) -> int:
        """Beside the scaling's keys it stands in Phi's files, where it counts first."""
        outer = self.config.get("original_max_position_embeddings")
        return int(outer or self.number("original_max_position_embeddings", self.max_position_embeddings()))


def _default(values: _Values, theta: float, partial: float) -> RopeShape:
    return RopeShape(theta, partial_rotary_factor=partial)


def _linear(values: _Values, theta: float, partial: float) -> RopeShape:
    return RopeShape(theta, "linear", values.number("factor", None), partial_rotary_factor=partial)


def _dynamic(values: _Values, theta: float, partial: float) -> RopeShape:
    return RopeShape(
        theta,
        "dynamic",
        values.number("factor", None),
        original_max_position_embeddings=values.max_position_embeddings(),
        partial_rotary_factor=partial,
    )


def _llama3(values: _Values, theta: float, partial: float) -> RopeShape:
    return RopeShape(
        theta,
        "llama3",
        values.number("factor", None),
        values.number("low_freq_factor", 1.0),
        values.number("high_freq_factor", 4.0),
        values.original_length(),
        partial_rotary_factor=partial,
    )


def _yarn(values: _Values, theta: float, partial: float) -> RopeShape:
    original = values.original_length()
    factor = values.number("factor", values.max_position_embeddings() / original)
    return RopeShape(
        theta,
        "yarn",
        factor,
        original_max_position_embeddings=original,
        attention_scale=values.optional("attention_factor") or _yarn_attention_scale(values, factor),
        beta_fast=values.optional("beta_fast") or 32.0,
        beta_slow=values.optional("beta_slow") or 1.0,
        truncate=values.nested.get("truncate") is not False,
        partial_rotary_factor=partial,
    )


def _yarn_attention_scale(values: _Values, factor: float) -> float:
    """Peng et al. 2023, section 3.4; DeepSeek's mscale of the rotated part over that of all dimensions."""

    def magnitude(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    mscale, over_all = values.optional("mscale"), values.optional("mscale_all_dim")
    return magnitude(mscale) / magnitude(over_all) if mscale and over_all else magnitude(1.0)


def _longrope(values: _Values, theta: float, partial: float) -> RopeShape:
    """Ding et al. 2024."""
    original = values.original_length()
    factor = values.number("factor", values.max_position_embeddings() / original)
    scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    return RopeShape(
        theta,
        "longrope",
        factor,
        original_max_position_embeddings=original,
        attention_scale=values.optional("attention_factor") or scale,
        short_factor=values.factors("short_factor"),
        long_factor=values.factors("long_factor"),
        partial_rotary_factor=partial,
    )


_READERS = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
