"""The scales that a checkpoint gives for a KV cache of 8-bit floats."""

import math
import re
from collections.abc import Iterable, Mapping

from paddock.engine.layers.attention import SelfAttention
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.tensor_file import TensorFile
from paddock.kernels import CacheScales

NAME = re.compile(r"(.+\.)?layers\.(?P<layer>\d+)\.self_attn\.(?:[kv]_proj\.|attn\.)?(?P<what>[kv])_scale")


def read_cache_scales(files: Iterable[TensorFile]) -> dict[str, float]:
    """By the name of the tensor. Raises `CheckpointError` for one that cannot be divided by."""
    found: dict[str, float] = {}
    for file in files:
        for name in filter(NAME.fullmatch, file.names()):
            tensor = file.read(name, ())
            scale = float(tensor.float().max()) if tensor.numel() == 1 else math.nan
            if not 0 < scale < math.inf:
                raise CheckpointError(
                    f"{file.path.name}: tensor {name} {list(tensor.shape)} is no positive number, as a scale of the KV "
                    "cache has to be; download or copy the checkpoint again."
                )
            found[name] = scale
    return found


def apply_cache_scales(model: CausalLM, found: Mapping[str, float]) -> None:
    """To the layers of this stage."""
    from paddock.engine.pooling.model import PooledModel

    model = model.body if isinstance(model, PooledModel) else model
    if not isinstance(model, DecoderLM):
        return
    by_number = dict(zip(model.layer_numbers, model.layers, strict=True))
    for name, scale in found.items():
        matched = NAME.fullmatch(name)
        assert matched is not None
        layer = by_number.get(int(matched["layer"]))
        if layer is None or not isinstance(layer.self_attn, SelfAttention):
            continue
        scales = layer.self_attn.cache_scales
        key, value = (scale, scales.value) if matched["what"] == "k" else (scales.key, scale)
        layer.self_attn.cache_scales = CacheScales(key, value)
