"""Which layers see a sliding window only, and how long a context is that no window cuts. Torch-free."""

from collections.abc import Mapping
from typing import Any

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.family import Family
from paddock.engine.models.fields import ConfigFields

SLIDING, FULL = "sliding_attention", "full_attention"

Windows = tuple[int | None, ...]
"""Per layer, how many last positions (its own included) a token sees; None is all."""


def layer_windows(fields: Mapping[str, Any], family: Family, num_layers: int, source: str) -> Windows:
    """Of one of the engine's own families. Raises `CheckpointError`."""
    if family.windows == "none" or fields.get("sliding_window") is None:
        return (None,) * num_layers
    window = ConfigFields(fields, source).count("sliding_window")
    if family.windows == "every layer":
        return (window,) * num_layers
    if family.windows == "opt-in" and not fields.get("use_sliding_window", False):
        return (None,) * num_layers
    types = fields.get("layer_types") or _layer_types(fields, family, num_layers, source)
    if not isinstance(types, list) or len(types) != num_layers:
        raise CheckpointError(
            f"{source}: layer_types is {types!r:.80}; expected one entry for each of {num_layers} layers."
        )
    unknown = set(map(str, types)) - {SLIDING, FULL}
    if unknown:
        raise CheckpointError(
            f"{source}: layer_types holds {min(unknown)!r}; {FULL!r} and {SLIDING!r} are supported."
        )
    return tuple(window if kind == SLIDING else None for kind in types)


def uncut_context(windows: Windows, stated: Mapping[str, Any], *, native: bool, source: str) -> int | None:
    """The most tokens that all see each other in every layer; None where no layer has a window.

    What transformers builds is not known yet: there `stated`, the configuration as it is written, tells. Raises
    `CheckpointError`.
    """
    if native:
        return min((window for window in windows if window is not None), default=None)
    text = stated.get("text_config")
    fields = {**stated, **text} if isinstance(text, Mapping) else stated
    types = fields.get("layer_types") or (SLIDING,)
    if (
        fields.get("sliding_window") is None
        or fields.get("use_sliding_window") is False
        or SLIDING not in types
    ):
        return None
    return ConfigFields(fields, source).count("sliding_window")


def _layer_types(fields: Mapping[str, Any], family: Family, num_layers: int, source: str) -> list[str]:
    """Qwen's windows begin at `max_window_layers`; Gemma's and GPT-OSS's are broken by a full layer now and then."""
    if family.full_layer_every:
        every = ConfigFields(fields, source).count("sliding_window_pattern", family.full_layer_every)
        full = [(i + 1) % every == 0 for i in range(num_layers)]
    else:
        first = fields.get("max_window_layers", 28)
        full = [i < first for i in range(num_layers)]
    return [FULL if is_full else SLIDING for is_full in full]
