"""A model's layers in one call of the compiled CPU kernels, bit for bit as one by one.

They are joined on a rank that is alone and has a CPU, where every layer is the plain one (Llama, Mistral, Qwen2, Qwen3,
Phi-3): no experts, no adapters, no norms around a part, no weights that come and go.
"""

from collections.abc import Sequence

import torch

from paddock.engine.layers.attention import SelfAttention
from paddock.engine.layers.linear import PackableLinear
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.norm import Norm, RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import CachedLayer, DecoderLayer
from paddock.kernels import silu_and_mul
from paddock.kernels.decoder_layers import CpuDecoderLayers, LayerParts
from paddock.kernels.linear import NativeLinear


class UnlikeError(Exception):
    """A part of a layer is not the plain one."""


def join_layers(
    layers: Sequence[CachedLayer], last_norm: Norm | None, place: Placement
) -> CpuDecoderLayers | None:
    """Of packed layers whose cache is bound, and again after it is bound anew; None where they cannot be joined."""
    if place.size > 1 or place.stream is not None or place.attention_dtype not in (None, place.dtype):
        return None
    try:
        parts = [_parts_of(layer) for layer in layers]
        norm_weight = None if last_norm is None else _weight(last_norm)
    except UnlikeError:
        return None
    return CpuDecoderLayers(parts, norm_weight) if all(map(CpuDecoderLayers.handles, parts)) else None


def _parts_of(layer: CachedLayer) -> LayerParts:
    if not isinstance(layer, DecoderLayer) or type(layer).forward is not DecoderLayer.forward:
        raise UnlikeError
    attention, mlp = layer.self_attn, layer.mlp
    if type(attention) is not SelfAttention or attention.form.rotary != 0 or type(mlp) is not GatedMLP:
        raise UnlikeError
    if mlp.activation is not silu_and_mul:
        raise UnlikeError
    return LayerParts(
        attention_norm=_weight(layer.input_layernorm),
        qkv=_native(attention.qkv_proj),
        q_norm=None if attention.q_norm is None else _weight(attention.q_norm),
        k_norm=None if attention.k_norm is None else _weight(attention.k_norm),
        output=_native(attention.o_proj),
        mlp_norm=_weight(layer.post_attention_layernorm),
        gate_up=_native(mlp.gate_up_proj),
        down=_native(mlp.down_proj),
        key_cache=attention.key_cache,
        value_cache=attention.value_cache,
        eps=attention.eps,
        scale=attention.scale,
        softcap=attention.form.softcap,
        sinks=attention.sinks,
        window=attention.window,
        cache_scales=attention.cache_scales,
    )


def _weight(norm: Norm) -> torch.Tensor:
    # Exactly this one: Gemma's is a kind of it that computes otherwise.
    if type(norm) is not RMSNorm:
        raise UnlikeError
    return norm.weight


def _native(linear: PackableLinear) -> NativeLinear:
    if not isinstance(linear.multiply, NativeLinear):
        raise UnlikeError
    return linear.multiply
