"""The flags that choose a data set, for the benchmarks that have them."""

import argparse

from paddock.server.bench.dataset import NO_HUB
from paddock.server.bench.errors import BenchError
from paddock.server.bench.lengths import DEFAULTS
from paddock.server.cli.arguments import number, whole

share = number("a number from 0 to below 1", lambda value: 0 <= value < 1)
HUB_FLAGS = ("hf_subset", "hf_split", "hf_name", "hf_output_len", "no_stream")


def add_prefix_repetition(group: argparse._ArgumentGroup) -> None:
    """The repeated-prefix workload's flags; unset ones take the defaults of `Lengths`."""
    flags = {
        "prefix-len": (0, "prefix length of the repeated-prefix workload", DEFAULTS.repeated_prefix),
        "suffix-len": (1, "own part of each of its prompts", DEFAULTS.repeated_suffix),
        "num-prefixes": (1, "its different prefixes", DEFAULTS.num_prefixes),
        "output-len": (1, "its output length", DEFAULTS.repeated_output),
    }
    for name, (least, meaning, default) in flags.items():
        group.add_argument(
            f"--prefix-repetition-{name}", type=whole(least), default=default, metavar="N",
            help=f"{meaning} (%(default)s)",
        )  # fmt: skip


def add_hub_flags(group: argparse._ArgumentGroup, names: tuple[str, ...]) -> None:
    """Flags for data sets of a hub, which are refused by name."""
    for name in names:
        flag = "--" + name.replace("_", "-")
        if name == "no_stream":
            group.add_argument(flag, action="store_true", help="refused: " + NO_HUB)
        else:
            group.add_argument(
                flag, metavar="X", help="refused: see --no-stream" if len(names) > 2 else "refused: " + NO_HUB
            )


def refuse_hub_flags(options: argparse.Namespace) -> None:
    """Raises BenchError for the first one that is given."""
    for name in HUB_FLAGS:
        if getattr(options, name, None):
            raise BenchError(f"--{name.replace('_', '-')}: {NO_HUB}")


def repeated_lengths(options: argparse.Namespace) -> dict[str, int]:
    """The fields of `Lengths` that `add_prefix_repetition` reads."""
    return {
        "repeated_prefix": options.prefix_repetition_prefix_len,
        "repeated_suffix": options.prefix_repetition_suffix_len,
        "repeated_output": options.prefix_repetition_output_len,
        "num_prefixes": options.prefix_repetition_num_prefixes,
    }
