import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from paddock.kernels.moe import combine, expert_linear, reference, sort_by_expert

CPU = torch.device("cpu")


def choices(tokens: int, top_k: int, num_experts: int, absent: int) -> torch.Tensor:
    """Of every token different experts; those from `num_experts` on are elsewhere."""
    random = torch.Generator().manual_seed(tokens)
    scores = torch.rand(tokens, num_experts + absent, generator=random)
    experts = scores.topk(top_k, dim=-1).indices
    return experts.masked_fill(experts >= num_experts, -1)


@pytest.mark.parametrize("absent", [0, 5])
@pytest.mark.parametrize(("tokens", "top_k", "num_experts"), [(1, 2, 8), (7, 4, 5), (300, 3, 4), (0, 2, 3)])
def test_tokens_are_sorted_as_by_the_definition(
    tokens: int, top_k: int, num_experts: int, absent: int
) -> None:
    experts = choices(tokens, top_k, num_experts, absent)

    found, expected = sort_by_expert(experts, num_experts), reference.sort_by_expert(experts, num_experts)

    used = int(expected.offsets[-1])
    assert torch.equal(found.offsets, expected.offsets)
    assert torch.equal(found.rows[:used], expected.rows[:used])
    assert torch.equal(found.places, expected.places)


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("absent", [0, 5])
@pytest.mark.parametrize("tokens", [1, 7, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_experts_give_what_each_gives_alone(
    dtype: torch.dtype, tokens: int, absent: int, bias: bool, instruction_set: str
) -> None:
    num_experts, inputs, outputs = 4, 96, 72
    random = torch.Generator().manual_seed(1)
    weight = torch.randn(num_experts, outputs, inputs, generator=random).to(dtype)
    biases = torch.randn(num_experts, outputs, generator=random).to(dtype) if bias else None
    x = torch.randn(tokens, inputs, generator=random).to(dtype)
    weights = torch.rand(tokens, 3, generator=random)
    experts = choices(tokens, 3, num_experts, absent)
    layer = expert_linear(num_experts, inputs, outputs, dtype, CPU, bias=bias)
    for expert in range(num_experts):
        layer.fill(expert, weight[expert], None if biases is None else biases[expert])

    group = sort_by_expert(experts, num_experts)
    found = combine(layer(x, group), group, weights)

    every = torch.einsum("ti,eoi->teo", x.double(), weight.double())
    every = every if biases is None else every + biases.double()
    each = every.to(dtype).double().gather(1, experts.clamp(min=0)[..., None].expand(-1, -1, outputs))
    exact = (each * weights.double()[..., None]).masked_fill(experts[..., None] < 0, 0.0).sum(dim=1)
    eps = torch.finfo(dtype).eps
    # Of 96 products of about 1 each; in 16 bits the results of the experts are rounded, and their sum again.
    torch.testing.assert_close(found.double(), exact, rtol=4 * eps, atol=max(40 * eps, 5e-5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_token_has_the_same_bits_alone_and_in_any_batch(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(1)
    first, second = (expert_linear(6, size, size, dtype, CPU) for size in (64, 64))
    for layer in (first, second):
        for expert in range(6):
            layer.fill(expert, torch.randn(64, 64, generator=random).to(dtype))
    x, experts = torch.randn(150, 64, generator=random).to(dtype), choices(150, 2, 6, 0)
    weights = torch.rand(150, 2, generator=random)

    def run(rows: slice) -> torch.Tensor:
        group = sort_by_expert(experts[rows], 6)
        return combine(second(first(x[rows], group), group, sorted_x=True), group, weights[rows])

    together = run(slice(None))

    for token in (0, 77, 149):
        assert torch.equal(run(slice(token, token + 1))[0], together[token])


def test_the_kernel_for_gpus_gives_what_each_expert_gives_alone() -> None:
    script = Path(__file__).with_name("interpreted_experts.py")
    environ = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr

    cases = [json.loads(line) for line in done.stdout.splitlines()]

    assert len(cases) == 32
    for case in cases:
        assert case["error"] < (2e-6 if "float32" in case["name"] else 2e-3), case
