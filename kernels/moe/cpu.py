"""Experts on the compiled kernels: all of them in one call, over weights that were rearranged once."""

import torch

from paddock.kernels import native
from paddock.kernels.linear.cpu import PANEL, aligned_empty
from paddock.kernels.moe.sorted_tokens import SortedTokens


def sort_by_expert(experts: torch.Tensor, num_experts: int) -> SortedTokens:
    assert native.library is not None
    experts = experts.contiguous()
    rows, places = torch.empty(experts.numel(), dtype=torch.int64), torch.empty_like(experts)
    offsets = torch.empty(num_experts + 1, dtype=torch.int64)
    native.library.sort_by_expert(
        0,
        1,
        experts.data_ptr(),
        rows.data_ptr(),
        offsets.data_ptr(),
        places.data_ptr(),
        *experts.shape,
        num_experts,
    )
    return SortedTokens(rows, offsets, places)


def combine(results: torch.Tensor, tokens: SortedTokens, weights: torch.Tensor) -> torch.Tensor:
    assert native.library is not None
    count, top_k = tokens.places.shape
    weights = weights.to(torch.float32).contiguous()
    out = results.new_empty(count, results.shape[1])
    native.library.combine_experts(
        native.ELEMENT[results.dtype],
        torch.get_num_threads(),
        results.data_ptr(),
        tokens.places.data_ptr(),
        weights.data_ptr(),
        out.data_ptr(),
        count,
        top_k,
        results.shape[1],
    )
    return out


class CpuExperts:
    """As `CpuLinear` for each expert: the bits of a row do not depend on the rest of the batch."""

    def __init__(
        self, num_experts: int, in_features: int, out_features: int, dtype: torch.dtype, *, bias: bool
    ) -> None:
        self._in_features, self._out_features = in_features, out_features
        self._element = native.ELEMENT[dtype]
        self._packed = aligned_empty((num_experts, -(-out_features // PANEL), in_features, PANEL), dtype)
        self._bias = torch.zeros(num_experts, out_features, dtype=dtype) if bias else None

    def fill(self, expert: int, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        assert native.library is not None
        weight = weight.contiguous()
        native.library.pack(
            self._element,
            torch.get_num_threads(),
            weight.data_ptr(),
            self._packed[expert].data_ptr(),
            self._in_features,
            self._out_features,
        )
        if bias is not None:
            assert self._bias is not None
            self._bias[expert] = bias

    def __call__(self, x: torch.Tensor, tokens: SortedTokens, *, sorted_x: bool = False) -> torch.Tensor:
        assert native.library is not None
        assert x.dtype == self._packed.dtype
        assert x.shape[1] == self._in_features
        if x.stride(1) != 1:
            x = x.contiguous()
        out = x.new_empty(int(tokens.offsets[-1]), self._out_features)
        native.library.grouped_linear(
            self._element,
            torch.get_num_threads(),
            x.data_ptr(),
            0 if sorted_x else tokens.rows.data_ptr(),
            tokens.offsets.data_ptr(),
            self._packed.data_ptr(),
            0 if self._bias is None else self._bias.data_ptr(),
            out.data_ptr(),
            len(self._packed),
            self._in_features,
            self._out_features,
            x.stride(0),
        )
        return out
