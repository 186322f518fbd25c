"""Rotary position embedding as a checkpoint's config.json states it. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from paddock.engine.models.errors import CheckpointError

RopeKind = Literal["default", "linear", "llama3"]


@dataclass(frozen=True)
class RopeShape:
    """Frequencies are theta ** (-2i / head_dim), then stretched as `kind` says."""

    theta: float
    kind: RopeKind = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192

    @staticmethod
    def read(config: Mapping[str, Any], source: str) -> "RopeShape":
        """Reads `rope_parameters` (transformers 5) or `rope_theta` with `rope_scaling` (before).

        Raises `CheckpointError` for a kind that the native families do not implement; ignoring it would give wrong text.
        """
        nested = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if not isinstance(nested, Mapping):
            raise CheckpointError(f"{source}: rope_parameters is {nested!r}; expected an object.")
        kind = nested.get("rope_type", nested.get("type", "default"))
        if kind not in get_args(RopeKind):
            raise CheckpointError(
                f"{source}: rope type {kind!r} is not supported; supported: {', '.join(get_args(RopeKind))}."
            )
        partial = nested.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
        if partial not in (None, 1, 1.0):
            raise CheckpointError(f"{source}: partial_rotary_factor {partial} is not supported; only 1.0 is.")
        return _build(kind, nested, config, source)


def _build(kind: RopeKind, nested: Mapping[str, Any], config: Mapping[str, Any], source: str) -> RopeShape:
    theta = float(nested.get("rope_theta", config.get("rope_theta", 10000.0)))
    if kind == "default":
        return RopeShape(theta)
    if "factor" not in nested:
        raise CheckpointError(f"{source}: rope type {kind!r} needs a factor, and none is given.")
    factor = float(nested["factor"])
    if kind == "linear":
        return RopeShape(theta, kind, factor)
    original = nested.get(
        "original_max_position_embeddings", config.get("original_max_position_embeddings", 8192)
    )
    return RopeShape(
        theta,
        kind,
        factor,
        float(nested.get("low_freq_factor", 1.0)),
        float(nested.get("high_freq_factor", 4.0)),
        int(original),
    )
