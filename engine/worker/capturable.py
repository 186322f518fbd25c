"""Which models' decode steps can be recorded: a recording holds what the device does, and nothing of what Python decided."""

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.settings import EngineSettings
from paddock.kernels.paged_attention import reads_lengths_on_host


def eager_reason(
    model: CausalLM, settings: EngineSettings, place: Placement, cache_dtype: torch.dtype
) -> str | None:
    """Why no step of the model can be recorded, in words; None where steps can."""
    if not isinstance(model, DecoderLM):
        return "a model that transformers runs may wait for the device in the middle of its step"
    if place.experts is not None:
        return "replicas that share experts tell each other the number of their tokens in each step"
    if settings.cpu_offload_bytes:
        return "layers of --cpu-offload-gb are brought to the device by the processor, step by step"
    if "model" in settings.timed_parts:
        return "--collect-detailed-traces model waits for the device around the model"
    query = torch.empty(1, 1, model.head_dim, dtype=place.attention_dtype or place.dtype, device=place.device)
    cache = torch.empty(1, 1, 1, model.head_dim, dtype=cache_dtype, device=place.device)
    if reads_lengths_on_host(query, cache):
        return f"attention over vectors of {model.head_dim} numbers takes the lengths of contexts from the processor"
    return None
