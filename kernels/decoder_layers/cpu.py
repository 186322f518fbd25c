"""Decoder layers on the compiled kernels: addresses and sizes are gathered once, and each step is one call."""

from collections.abc import Sequence

import torch

from paddock.kernels import native
from paddock.kernels.attention_metadata import AttentionMetadata
from paddock.kernels.cache_scales import FLOAT8, UNSCALED
from paddock.kernels.decoder_layers.parts import LayerParts
from paddock.kernels.paged_attention.cpu import MAX_HEAD_DIM

CACHE_LINE = 64
"""Bytes; each of the intermediate results begins at one."""

NUM_RESULTS = 5
"""Most that there are at the same time: cosines, sines, and three of attention or MLP."""


class CpuDecoderLayers:
    """The same operations on the same numbers as one by one, hence the same bits."""

    def __init__(self, layers: Sequence[LayerParts], last_norm: torch.Tensor | None) -> None:
        """Only of layers that `handles` is true of; `last_norm` `[dim]` is that of the norm after them, if there is one.

        The caches may be written to, and not moved.
        """
        assert native.library is not None
        self._layers, self._last_norm = list(layers), last_norm
        first = self._layers[0]
        self._dtype, self._dim = first.attention_norm.dtype, len(first.attention_norm)
        self._packed = b"".join(native.library.layer_weights(*_fields(layer)) for layer in layers)
        self._width = max(map(_most_features, layers))

    @staticmethod
    def handles(layer: LayerParts) -> bool:
        """Whether the compiled kernels have each of its operations."""
        norm, cache = layer.attention_norm, layer.key_cache
        head_dim = cache.shape[3]
        return native.handles_cache(norm, cache) and head_dim % 16 == 0 and head_dim <= MAX_HEAD_DIM

    def __call__(
        self,
        hidden: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        positions: torch.Tensor,
        metadata: AttentionMetadata,
    ) -> torch.Tensor:
        """`hidden` `[tokens, dim]` after all layers, and after the last norm; the same shape.

        `cos` and `sin` are float32 `[max_positions, rotary_dim / 2]`, `positions` int64 `[tokens]` and below that. Each
        layer has its own window: the batch's is not read.
        """
        assert native.library is not None
        assert hidden.dtype == self._dtype
        assert hidden.is_contiguous()
        tokens, dim = hidden.shape
        assert dim == self._dim
        assert cos.dtype == sin.dtype == torch.float32
        assert cos.is_contiguous()
        assert sin.is_contiguous()
        assert positions.dtype == metadata.slot_mapping.dtype == torch.int64
        assert positions.is_contiguous()
        assert metadata.slot_mapping.is_contiguous()
        assert (
            metadata.block_table.dtype == metadata.seq_lens.dtype == metadata.cu_seqlens.dtype == torch.int32
        )
        normed, out, residual = (torch.empty_like(hidden) for _ in range(3))
        row_bytes = self._width * hidden.itemsize + 2 * cos.shape[1] * cos.itemsize
        space = torch.empty(tokens * row_bytes + NUM_RESULTS * CACHE_LINE, dtype=torch.uint8)
        table_stride, entry_stride = metadata.block_table.stride()
        assert entry_stride == 1
        native.library.layers(
            native.ELEMENT[self._dtype],
            torch.get_num_threads(),
            self._packed,
            hidden.data_ptr(),
            _address(self._last_norm),
            normed.data_ptr(),
            out.data_ptr(),
            residual.data_ptr(),
            space.data_ptr(),
            cos.data_ptr(),
            sin.data_ptr(),
            positions.data_ptr(),
            metadata.slot_mapping.data_ptr(),
            metadata.cu_seqlens.data_ptr(),
            metadata.seq_lens.data_ptr(),
            metadata.block_table.data_ptr(),
            len(self._layers),
            tokens,
            dim,
            cos.shape[1],
            metadata.seq_lens.shape[0],
            table_stride,
            self._layers[-1].eps,
        )
        return out + residual if self._last_norm is None else normed


def _most_features(layer: LayerParts) -> int:
    """Of the results that lie in the space at the same time."""
    return max(
        layer.qkv.out_features + layer.output.in_features, layer.gate_up.out_features + layer.down.in_features
    )


def _fields(layer: LayerParts) -> list[int | float]:
    """In the order of `LayerWeights` in native/layers.h."""
    _, num_kv_heads, block_size, head_dim = layer.key_cache.shape
    cache_stride = layer.key_cache.stride(0)
    assert (
        layer.key_cache.stride()
        == (cache_stride, block_size * head_dim, head_dim, 1)
        == layer.value_cache.stride()
    )
    scales = layer.cache_scales if layer.key_cache.dtype in FLOAT8 else UNSCALED
    return [
        layer.attention_norm.data_ptr(),
        *layer.qkv.weight_fields,
        _address(layer.q_norm),
        _address(layer.k_norm),
        *layer.output.weight_fields,
        layer.mlp_norm.data_ptr(),
        *layer.gate_up.weight_fields,
        *layer.down.weight_fields,
        layer.key_cache.data_ptr(),
        layer.value_cache.data_ptr(),
        _address(layer.sinks),
        layer.output.in_features // head_dim,
        num_kv_heads,
        head_dim,
        block_size,
        cache_stride,
        native.cache_element(layer.attention_norm, layer.key_cache),
        layer.window or 0,
        layer.eps,
        *scales,
        layer.scale,
        layer.softcap,
    ]


def _address(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
