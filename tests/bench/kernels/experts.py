"""The products of a mixture's experts: ours, and one after the other in PyTorch; microseconds a layer.

    python tests/bench/kernels/experts.py [--threads 2] [--repeats 20]

Experts of Qwen3-30B-A3B (8 of 128) on a GPU, of a small mixture (2 of 8) on a CPU. Routing is random and even.
"""

import torch
from timing import DEVICE, Work, fastest, print_table, repeats_asked_for

from paddock.kernels.moe import combine, expert_linear, reference, sort_by_expert

# experts, of a token, hidden, intermediate
SHAPE = (128, 8, 2048, 768) if DEVICE.type == "cuda" else (8, 2, 512, 256)
TOKENS = (1, 16, 64, 512)


def works(tokens: int, dtype: torch.dtype) -> tuple[Work, Work]:
    count, top_k, hidden, size = SHAPE
    weights = [
        torch.randn(count, outputs, inputs).to(dtype) / 8
        for outputs, inputs in ((2 * size, hidden), (hidden, size))
    ]
    packed = [expert_linear(count, *weight.shape[:0:-1], dtype, DEVICE) for weight in weights]
    for linear, weight in zip(packed, weights, strict=True):
        for expert in range(count):
            linear.fill(expert, weight[expert])
    plain = [reference.PlainExperts(weight, None) for weight in weights]
    x, chosen = torch.randn(tokens, hidden).to(dtype), torch.rand(tokens, count).topk(top_k).indices
    shares = torch.rand(tokens, top_k)

    def layer(gate_up, down, sort, add) -> torch.Tensor:  # type: ignore[no-untyped-def]
        group = sort(chosen, count)
        gate, up = gate_up(x, group).chunk(2, dim=-1)
        result: torch.Tensor = add(down(gate * up, group, sorted_x=True), group, shares)
        return result

    return (
        lambda: layer(*packed, sort_by_expert, combine),
        lambda: layer(*plain, reference.sort_by_expert, reference.combine),
    )


def main() -> None:
    repeats = repeats_asked_for(__doc__, 20)
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        for tokens in TOKENS:
            ours, plain = (seconds * 1e6 for seconds in fastest(works(tokens, dtype), repeats))
            kind = str(dtype).removeprefix("torch.")
            rows.append([kind, str(tokens), f"{ours:.0f}", f"{plain:.0f}", f"{plain / ours:.1f}"])
    print_table(["dtype", "tokens", "ours µs", "one by one µs", "speed-up"], rows)


if __name__ == "__main__":
    with torch.inference_mode(), DEVICE:
        main()
