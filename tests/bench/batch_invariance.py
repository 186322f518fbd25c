"""How far the log-probabilities of the same requests move with their company and with how they are scheduled.

    python tests/bench/batch_invariance.py [--shape tiny] [--dtype float32 bfloat16] [--prompt 120] [--tokens 16]

Eight requests are answered one at a time, whole prompts in one step; then in batches, in chunks, from cached prefixes,
and preempted. Compared are the log-probabilities of the prompt's tokens (where they are computed), of the greedy tokens
and of the five most likely ones beside each, up to the first token that differs.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from qwen_shape import SHAPES, Ours, checkpoint

from paddock.engine.messages import PositionLogprobs, RequestOutput

COMPARED = 8
PRESSED = "64"
"""Blocks of 16 tokens that the preempted share."""
WAYS: dict[str, tuple[int, tuple[str, ...]]] = {
    "in a batch of 8": (0, ("--max-num-seqs", "8")),
    "in a batch of 32": (24, ("--max-num-seqs", "32")),
    "in a batch of 32, chunks of at most 33 tokens a step": (
        24,
        ("--max-num-seqs", "32", "--max-num-batched-tokens", "33"),
    ),
    "from a cached prefix": (0, ("--max-num-seqs", "8", "--enable-prefix-caching")),
    "preempted, computed again": (24, ("--max-num-seqs", "32", "--num-gpu-blocks-override", PRESSED)),
    "preempted, swapped": (
        24,
        ("--max-num-seqs", "32", "--num-gpu-blocks-override", PRESSED, "--swap-space", "1"),
    ),
}
"""By way: how many other requests come with the eight, and flags."""

Answer = tuple[list[int], list[PositionLogprobs]]


def prompts(count: int, longest: int, seed: int) -> list[list[int]]:
    draw = random.Random(seed)
    return [
        [draw.randrange(5, 500) for _ in range(draw.randrange(longest // 2, longest))] for _ in range(count)
    ]


def engine(folder: Path, dtype: str, flags: tuple[str, ...]) -> Ours:
    caching = () if "--enable-prefix-caching" in flags else ("--no-enable-prefix-caching",)
    return Ours(folder, "--dtype", dtype, "--max-model-len", "512", *caching, *flags)


def answers(served: Ours, asked: list[list[int]], tokens: int, prompt_logprobs: int | None) -> list[Answer]:
    """In the order of `asked`, which come at once."""
    first = served.served
    served.start(asked, tokens, logprobs=5, prompt_logprobs=prompt_logprobs)
    outputs: dict[str, list[RequestOutput]] = {}
    while served.core.has_work:
        for output in served.core.step().get(b"", []):
            outputs.setdefault(output.request_id, []).append(output)
    return [joined(outputs[f"r{first + number + 1}"]) for number in range(len(asked))]


def joined(outputs: list[RequestOutput]) -> Answer:
    positions = [position for output in outputs for position in output.prompt_logprobs or []]
    positions += [position for output in outputs for position in output.logprobs or []]
    return [token for output in outputs for token in output.new_token_ids], positions


def differences(alone: Answer, other: Answer) -> Iterator[float]:
    """Of the log-probabilities under the same prefix, by token."""
    length = len(other[1])
    for ours, theirs in zip(alone[1][-length:], other[1], strict=True):
        by_token = {entry.token_id: entry.logprob for entry in ours}
        yield from (
            abs(by_token[entry.token_id] - entry.logprob) for entry in theirs if entry.token_id in by_token
        )
        if ours[0].token_id != theirs[0].token_id:
            return


def measured(folder: Path, dtype: str, longest: int, tokens: int) -> Iterator[tuple[str, float, int, int]]:
    """For each way the largest difference, how many of the requests have the same tokens, and how many preemptions."""
    asked, others = prompts(COMPARED, longest, 1), prompts(24, longest, 2)
    single = engine(folder, dtype, ("--max-num-seqs", "1"))
    alone = [answers(single, [prompt], tokens, 0)[0] for prompt in asked]
    for way, (company, flags) in WAYS.items():
        served = engine(folder, dtype, flags)
        cached = "--enable-prefix-caching" in flags
        if cached:
            answers(served, asked, 1, None)
        # The oldest are never preempted, so the eight come last.
        batch = [*others[:company], *asked]
        again = answers(served, batch, tokens, None if cached else 0)[company:]
        worst = max(max(differences(one, two)) for one, two in zip(alone, again, strict=True))
        same = sum(one[0] == two[0] for one, two in zip(alone, again, strict=True))
        yield way, worst, same, served.core.counters().num_preemptions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=["tiny", *SHAPES], default="tiny")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--prompt", type=int, default=120, help="most tokens of a prompt")
    parser.add_argument("--tokens", type=int, default=16, help="of each answer")
    options = parser.parse_args()
    with checkpoint(options.shape) as folder:
        sizes = f"{options.prompt // 2} to {options.prompt} tokens, {options.tokens} tokens out each"
        print(f"{options.shape}: {COMPARED} requests of {sizes}\n")
        print("| dtype | way | largest difference | same tokens | preemptions |\n|---|---|---:|---:|---:|")
        for dtype in options.dtype:
            for way, worst, same, preempted in measured(folder, dtype, options.prompt, options.tokens):
                print(f"| {dtype} | {way} | {worst:.1e} | {same} of {COMPARED} | {preempted} |", flush=True)


if __name__ == "__main__":
    main()
