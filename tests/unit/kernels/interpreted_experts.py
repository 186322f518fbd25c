"""Runs the Triton kernel of experts on CPU tensors; one JSON line per case on standard output.

A program of its own, like `interpreted_cases.py`.
"""

import itertools
import json

import torch

from paddock.kernels.moe import reference
from paddock.kernels.moe.triton_kernel import grouped_linear

SHAPES = ((1, 2, 4), (9, 3, 5), (70, 2, 1), (150, 2, 3))
"""Tokens, choices of each, experts here; the last two fill whole tiles."""


def error(
    tokens: int, top_k: int, num_experts: int, dtype: torch.dtype, *, bias: bool, sorted_x: bool
) -> float:
    inputs, outputs = 72, 100
    experts = torch.rand(tokens, num_experts + 1).topk(top_k).indices
    experts = experts.masked_fill(experts == num_experts, -1)
    group = reference.sort_by_expert(experts, num_experts)
    x = torch.randn(tokens * top_k if sorted_x else tokens, inputs).to(dtype)
    weight = torch.randn(num_experts, outputs, inputs).to(dtype)
    biases = torch.randn(num_experts, outputs).to(dtype) if bias else None
    found = grouped_linear(x, group, weight, biases, sorted_x=sorted_x)
    expected = reference.PlainExperts(weight, biases)(x, group, sorted_x=sorted_x)
    used = int(group.offsets[-1])
    difference = (found[:used].float() - expected[:used].float()).abs()
    # Of the size of the results, which are sums of 72 products of about 1 each.
    return difference.max().item() / 30 if used else 0.0


def main() -> None:
    torch.manual_seed(0)
    flags = (False, True)
    for shape, dtype, bias, sorted_x in itertools.product(
        SHAPES, (torch.float32, torch.float16), flags, flags
    ):
        name = f"{shape} {dtype} bias={bias} sorted={sorted_x}"
        print(
            json.dumps({"name": name, "error": error(*shape, dtype, bias=bias, sorted_x=sorted_x)}),
            flush=True,
        )


if __name__ == "__main__":
    main()
