"""What `--rope-scaling`, `--rope-theta` and the rotary keys of `--hf-overrides` make of a model's configuration."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.rope import KEYS_OF_KIND, RopeShape, rope_kind

if TYPE_CHECKING:
    from paddock.engine.config import ModelConfig

KEPT = ("rope_theta", "partial_rotary_factor")
"""What stays when another kind of scaling takes the place of the model's own."""


def rope_given(overrides: dict[str, Any], model: "ModelConfig") -> dict[str, Any]:
    """The rotary values that were asked for, the flags' last. Takes their keys, old and new, out of `overrides`."""
    given: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        value = overrides.pop(key, {})
        # null removes the model's own scaling.
        given |= {"rope_type": "default"} if value is None else _object(value, f"--hf-overrides: {key}")
    if "rope_theta" in overrides:
        given["rope_theta"] = overrides.pop("rope_theta")
    given |= _one_spelling(model.rope_scaling.model_dump(exclude_none=True))
    if model.rope_theta is not None:
        given["rope_theta"] = model.rope_theta
    return given


def override_rope(fields: Mapping[str, Any], given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`fields` with `given` in its rope_parameters. A kind other than the model's own replaces its scaling whole.

    Raises `CheckpointError` for a key that the kind of scaling would not use.
    """
    result = dict(fields)
    present = _object(result.pop("rope_scaling", None) or {}, f"{source}: rope_scaling")
    present |= _object(result.get("rope_parameters") or {}, f"{source}: rope_parameters")
    if any(isinstance(value, Mapping) for value in (*present.values(), *given.values())):
        return result | {"rope_parameters": _by_layer_type(present, given)}
    for key in KEPT:
        if result.get(key) is not None:
            present.setdefault(key, result[key])
    kind = str(given.get("rope_type", present.get("rope_type", "default")))
    if kind != present.get("rope_type", "default"):
        present = {key: present[key] for key in KEPT if key in present}
    _refuse_unused(kind, given)
    if "original_max_position_embeddings" in given:
        result.pop("original_max_position_embeddings", None)
    result["rope_parameters"] = {**present, **given, "rope_type": kind}
    result.pop("rope_theta", None)
    RopeShape.read(result, "--rope-scaling")
    return result


def _by_layer_type(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Models with one set of rotary values per kind of layer take overrides per kind of layer only."""
    for key, value in given.items():
        if not isinstance(value, Mapping) or not isinstance(present.get(key, {}), Mapping):
            raise CheckpointError(
                f"rope override {key}={str(value)[:80]!r}: this model has rotary values per kind of layer "
                f"({', '.join(present)}); give them in --hf-overrides as rope_parameters.<kind of layer>.{key}."
            )
    return {**present, **{key: {**present.get(key, {}), **value} for key, value in given.items()}}


def _refuse_unused(kind: str, given: Mapping[str, Any]) -> None:
    allowed = KEYS_OF_KIND[rope_kind({"rope_type": kind}, "--rope-scaling")]
    unused = sorted(set(given) - set(allowed) - {"rope_type", *KEPT})
    if unused:
        uses = f"it takes {', '.join(allowed)}" if allowed else "it takes none; name a rope_type as well"
        raise CheckpointError(
            f"--rope-scaling: rope type {kind!r} has no use for {', '.join(unused)}; {uses}."
        )


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{name} is {str(value)[:80]!r}; expected an object.")
    return _one_spelling(value)


def _one_spelling(scaling: Mapping[str, Any]) -> dict[str, Any]:
    """`type` is how rope_type was called at first."""
    named = dict(scaling)
    older = named.pop("type", None)
    return {"rope_type": older, **named} if older is not None else named
