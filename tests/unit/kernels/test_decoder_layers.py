"""Layers in one call are their operations one by one, bit for bit."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from paged_batch import Heads, PagedBatch, random_batch

from paddock.kernels import (
    AttentionMetadata,
    CacheScales,
    pack_linear,
    pack_quantized,
    paged_attention,
    rms_norm,
    rotary_cache_write,
    round_to_nearest,
    silu_and_mul,
)
from paddock.kernels.decoder_layers import CpuDecoderLayers, LayerParts
from paddock.kernels.linear import NativeLinear

DIM, INNER, HEADS = 64, 96, Heads(6, 2, 32)
QUERIES, LENGTHS = [1, 1, 1, 40, 7], [1, 63, 700, 111, 7]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
Rotary = tuple[torch.Tensor, torch.Tensor]


def linear(outs: int, ins: int, dtype: torch.dtype, bits: int | None, *, bias: bool) -> NativeLinear:
    weight, added = torch.randn(outs, ins) * ins**-0.5, torch.randn(outs).to(dtype) if bias else None
    if bits is None:
        packed = pack_linear(weight.to(dtype), added)
    else:
        packed = pack_quantized(round_to_nearest(weight, bits, 32), added, dtype=dtype)
    assert isinstance(packed, NativeLinear)
    return packed


@cache
def filled_caches(dtype: torch.dtype) -> PagedBatch:
    return random_batch(QUERIES, LENGTHS, HEADS, dtype=dtype)


def random_layer(dtype: torch.dtype, bits: int | None = None) -> LayerParts:
    caches = filled_caches(dtype)
    heads, width = HEADS.query + 2 * HEADS.kv, HEADS.query * HEADS.dim
    return LayerParts(
        attention_norm=torch.randn(DIM).to(dtype),
        qkv=linear(heads * HEADS.dim, DIM, dtype, bits, bias=True),
        q_norm=None,
        k_norm=None,
        output=linear(DIM, width, dtype, bits, bias=False),
        mlp_norm=torch.randn(DIM).to(dtype),
        gate_up=linear(2 * INNER, DIM, dtype, bits, bias=False),
        down=linear(DIM, INNER, dtype, bits, bias=True),
        key_cache=caches.key_cache.clone(),
        value_cache=caches.value_cache.clone(),
        eps=1e-5,
        scale=HEADS.dim**-0.5,
    )


def one_by_one(
    layers: list[LayerParts],
    last_norm: torch.Tensor | None,
    hidden: torch.Tensor,
    rotary: Rotary,
    batch: AttentionMetadata,
) -> torch.Tensor:
    residual = None
    for layer in layers:
        if residual is None:
            normed, residual = rms_norm(hidden, layer.attention_norm, layer.eps), hidden
        else:
            normed, residual = rms_norm(hidden, layer.attention_norm, layer.eps, residual)
        caches, scales = (layer.key_cache, layer.value_cache), layer.cache_scales
        norms = (layer.q_norm, layer.k_norm, layer.eps)
        query = rotary_cache_write(layer.qkv(normed), *rotary, *caches, batch.slot_mapping, *norms, scales)
        own = replace(batch, sliding_window=layer.window)
        capped = {"softcap": layer.softcap, "sinks": layer.sinks, "scales": scales}
        attended = paged_attention(query, *caches, own, layer.scale, **capped)
        normed, residual = rms_norm(layer.output(attended.flatten(1)), layer.mlp_norm, layer.eps, residual)
        hidden = layer.down(silu_and_mul(layer.gate_up(normed)))
    assert residual is not None
    return (
        hidden + residual if last_norm is None else rms_norm(hidden, last_norm, layers[-1].eps, residual)[0]
    )


def with_own_caches(layers: list[LayerParts]) -> list[LayerParts]:
    return [replace(it, key_cache=it.key_cache.clone(), value_cache=it.value_cache.clone()) for it in layers]


def check(layers: list[LayerParts], last_norm: torch.Tensor | None = None) -> None:
    """Joined and one by one, over batches and caches that are equal: results and caches."""
    batch = filled_caches(torch.float32).metadata
    pairs = zip(QUERIES, LENGTHS, strict=True)
    positions = torch.cat([torch.arange(length - count, length) for count, length in pairs])
    angles = torch.randn(max(LENGTHS), HEADS.dim // 2)
    hidden = torch.randn(sum(QUERIES), DIM).to(layers[0].attention_norm.dtype)
    before, alone = hidden.clone(), with_own_caches(layers)
    rotary = angles.cos()[positions], angles.sin()[positions]
    expected = one_by_one(alone, last_norm, hidden, rotary, batch)

    assert all(map(CpuDecoderLayers.handles, layers))
    out = CpuDecoderLayers(layers, last_norm)(hidden, angles.cos(), angles.sin(), positions, batch)

    assert torch.equal(out, expected)
    assert torch.equal(hidden, before)
    for joined, apart in zip(layers, alone, strict=True):
        for name in ("key_cache", "value_cache"):
            ours, theirs = getattr(joined, name).view(torch.uint8), getattr(apart, name).view(torch.uint8)
            assert torch.equal(ours, theirs)


@DTYPES
@pytest.mark.parametrize("bits", [None, 8, 4], ids=str)
def test_layers_of_plain_numbers_and_of_codes(
    dtype: torch.dtype, bits: int | None, instruction_set: str
) -> None:
    torch.manual_seed(1)

    check([random_layer(dtype, bits) for _ in range(2)], last_norm=torch.randn(DIM).to(dtype))


@DTYPES
def test_layers_that_differ_in_windows_sinks_caps_and_head_norms(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    plain = random_layer(dtype)
    windowed = replace(random_layer(dtype), window=20, sinks=torch.randn(HEADS.query))
    capped = replace(random_layer(dtype), softcap=3.0, scale=0.3)
    norms = {name: torch.randn(HEADS.dim).to(dtype) for name in ("q_norm", "k_norm")}

    check([plain, windowed, capped, replace(random_layer(dtype), **norms)])


@DTYPES
@pytest.mark.parametrize("narrow", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16], ids=str)
def test_layers_with_narrow_caches_and_their_scales(dtype: torch.dtype, narrow: torch.dtype) -> None:
    torch.manual_seed(3)
    layer = random_layer(dtype)
    keys, values = (part.nan_to_num(0).to(narrow) for part in (layer.key_cache, layer.value_cache))
    scales = CacheScales(key=0.5, value=0.03)

    check([replace(layer, key_cache=keys, value_cache=values, cache_scales=scales)])


def test_heads_that_the_kernels_cannot_take_are_told() -> None:
    layer = random_layer(torch.float32)
    odd = torch.zeros(1, 2, 16, 24)

    assert not CpuDecoderLayers.handles(replace(layer, key_cache=odd, value_cache=odd))
    assert not CpuDecoderLayers.handles(replace(layer, attention_norm=torch.zeros(DIM, dtype=torch.float16)))
