"""Workloads that are made, not recorded: lengths are exact, and no two prompts share a beginning by chance."""

import random

from paddock.server.bench.lengths import Lengths
from paddock.server.bench.sample import Sample
from paddock.server.bench.tokens import Tokens, token_pool


def random_prompts(count: int, lengths: Lengths, tokens: Tokens, draw: random.Random) -> list[Sample]:
    """Random tokens behind a common prefix."""
    pool = token_pool(tokens, draw)
    prefix = draw.choices(pool, k=lengths.random_prefix)

    def prompt() -> list[int]:
        return [
            *prefix,
            *draw.choices(pool, k=varied(lengths.random_input, lengths.random_range_ratio, draw)),
        ]

    return [
        Sample(
            varied(lengths.random_output, lengths.random_range_ratio, draw),
            token_ids=prompt(),
            more_inputs=tuple(prompt() for _ in range(lengths.random_batch - 1)),
        )
        for _ in range(count)
    ]


def repeated_prefixes(count: int, lengths: Lengths, tokens: Tokens, draw: random.Random) -> list[Sample]:
    """A few prefixes, each with many endings: the prefixes take turns at random, as evenly as the count allows."""
    pool = token_pool(tokens, draw)
    prefixes = [draw.choices(pool, k=lengths.repeated_prefix) for _ in range(lengths.num_prefixes)]
    samples = [
        Sample(
            lengths.repeated_output,
            token_ids=[*prefixes[at % len(prefixes)], *draw.choices(pool, k=lengths.repeated_suffix)],
        )
        for at in range(count)
    ]
    draw.shuffle(samples)
    return samples


def varied(length: int, ratio: float, draw: random.Random) -> int:
    """A length between (1 - ratio) and (1 + ratio) times the given one, at least 1."""
    return max(1, draw.randint(round(length * (1 - ratio)), round(length * (1 + ratio))))
