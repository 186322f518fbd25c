"""Lengths that data sets are made to, in tokens."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lengths:
    """The defaults are those of the flags of the same names."""

    random_input: int = 1024
    random_output: int = 128
    random_range_ratio: float = 0.0
    """Lengths of random prompts and answers vary by this share up and down."""

    random_prefix: int = 0
    random_batch: int = 1
    repeated_prefix: int = 256
    repeated_suffix: int = 256
    repeated_output: int = 128
    num_prefixes: int = 10
    sharegpt_output: int | None = None
    """None asks for as many tokens as the recorded answer has."""

    custom_output: int = 256
    spec_bench_output: int = 256
    sonnet_input: int = 550
    sonnet_output: int = 150
    sonnet_prefix: int = 200


DEFAULTS = Lengths()
