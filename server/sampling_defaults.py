"""Sampling values for what a request leaves unset: the model's generation_config.json, then the neutral ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


class GenerationConfigError(Exception):
    """A generation config that cannot be read or holds a value out of range."""


RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (-1, 2**31),
    "min_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repetition_penalty": (1e-6, 1e6),
    "max_new_tokens": (1, 2**31),
}


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """None of the values is unset; `max_new_tokens` alone may be, and then caps nothing."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    max_new_tokens: int | None = None


def read_sampling_defaults(
    model_path: Path, generation_config: str | None, override: Mapping[str, Any] | None
) -> SamplingDefaults:
    """`generation_config` is `auto` (the model's own), `vllm` (none), or a folder that holds the file.

    Raises GenerationConfigError for a file that cannot be read and for an override that is unknown or out of range.
    """
    values = _read_file(model_path, generation_config or "auto")
    for name in override or {}:
        if name not in RANGES:
            raise GenerationConfigError(
                f"--override-generation-config: {name} is not one of {', '.join(RANGES)}. Leave it out."
            )
    values.update(override or {})
    given: dict[str, Any] = {
        name: _checked(name, value) for name, value in values.items() if value is not None
    }
    return SamplingDefaults(**given)


def _read_file(model_path: Path, generation_config: str) -> dict[str, Any]:
    if generation_config == "vllm":
        return {}
    folder = model_path if generation_config == "auto" else Path(generation_config)
    path = folder / "generation_config.json"
    if not path.is_file():
        if generation_config == "auto":
            return {}
        raise GenerationConfigError(
            f"--generation-config {folder}: there is no generation_config.json in it."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GenerationConfigError(f"{path} is not valid JSON: {error}. Download the file again.") from error
    known = {field.name for field in fields(SamplingDefaults)}
    return {name: value for name, value in config.items() if name in known}


def _checked(name: str, value: Any) -> Any:
    low, high = RANGES[name]
    whole = name in ("top_k", "max_new_tokens")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (whole and not isinstance(value, int)) or not low <= value <= high:
        raise GenerationConfigError(
            f"{name} of the generation config must be from {low:g} to {high:g}, not {value!r}; "
            f"correct it with --override-generation-config '{{\"{name}\": …}}'."
        )
    # -1 and 0 both mean all tokens; the engine knows 0 alone.
    return max(value, 0) if name == "top_k" else value
