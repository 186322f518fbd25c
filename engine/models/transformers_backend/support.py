"""Which models of transformers may be tried: what can be told before one is built."""

import inspect
from typing import Any

import transformers
from transformers import PretrainedConfig

from paddock.engine.models.transformers_backend.refusal import Unsupported

CHANGING_ROPES = ("dynamic", "longrope")
"""Their frequencies follow the longest sequence of a batch, and cached keys would turn by other ones."""

LAYER_TYPES = {"full_attention", "sliding_attention"}


def causal_lm_class(architecture: str) -> Any:
    """The class of transformers, None where it has none. Raises `Unsupported` for one that is no model."""
    found = getattr(transformers, architecture, None)
    if found is not None and not (inspect.isclass(found) and issubclass(found, transformers.PreTrainedModel)):
        raise Unsupported("transformers has something else under that name")
    return found


def check_class(found: Any) -> None:
    """Raises `Unsupported`."""
    if not issubclass(found, transformers.GenerationMixin):
        raise Unsupported("it does not generate")
    if not getattr(found, "_supports_attention_backend", False):
        raise Unsupported("its attention does not go through transformers' attention interface")
    if getattr(found, "_is_stateful", False):
        raise Unsupported("it keeps recurrent state beside keys and values")


def check_config(config: PretrainedConfig) -> None:
    """Raises `Unsupported`."""
    if getattr(config, "is_encoder_decoder", False):
        raise Unsupported("it is an encoder-decoder")
    text = config.get_text_config(decoder=True)
    others = sorted(set(getattr(text, "layer_types", None) or ()) - LAYER_TYPES)
    if others:
        raise Unsupported(f"it has layers of type {', '.join(others)}")
    for kind in rope_types(getattr(text, "rope_parameters", None)):
        if kind in CHANGING_ROPES:
            raise Unsupported(f"the frequencies of rope type {kind!r} change with the length of the batch")


def check_window(config: PretrainedConfig, windows: set[int]) -> None:
    """Refuses a model whose masks have no window while its cache, by the configuration, keeps one only.

    `windows` are those of its masks. Raises `Unsupported`.
    """
    text = config.get_text_config(decoder=True)
    stated = getattr(text, "sliding_window", None)
    used = getattr(text, "use_sliding_window", True)
    sliding = "sliding_attention" in (getattr(text, "layer_types", None) or ("sliding_attention",))
    if stated and used and sliding and not any(windows):
        raise Unsupported(f"its configuration states a sliding window of {stated} that its masks do not have")


def rope_types(parameters: Any) -> set[str]:
    """Of all layers: the parameters are one object, or one for each type of layer."""
    if not isinstance(parameters, dict):
        return set()
    own = parameters.get("rope_type")
    nested = [rope_types(value) for value in parameters.values()]
    return ({own} if isinstance(own, str) else set()).union(*nested)
