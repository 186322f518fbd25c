"""Data sets by name: what each reads, and the samples it makes."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from paddock.server.bench import recorded, synthetic
from paddock.server.bench.errors import BenchError
from paddock.server.bench.lengths import Lengths
from paddock.server.bench.sample import Sample
from paddock.server.bench.tokens import Tokens

NO_HUB = 'data sets of the hub need a library that is not part of this; write one JSON line {"prompt": …} for each prompt and use --dataset-name custom'
REFUSED = {
    "hf": NO_HUB,
    "random-mm": "it is made of pictures, and no model with an eye is served; use random",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """Which samples are wanted."""

    name: str
    path: str | None
    num_prompts: int
    lengths: Lengths
    seed: int = 0
    shuffle: bool = True
    oversample: bool = True
    chat_template: bool = False
    """Texts are rendered as a chat's message, and sent as token ids."""

    category: str | None = None

    def samples(self, tokens: Tokens) -> list[Sample]:
        """Repeatable by the seed. Raises BenchError."""
        draw = random.Random(self.seed)
        if self.name in SYNTHETIC:
            return SYNTHETIC[self.name](self.num_prompts, self.lengths, tokens, draw)
        found = self._recorded(tokens, draw)
        if not found:
            raise BenchError(f"--dataset-path {self.path}: no prompt in it can be used")
        if self.oversample and len(found) < self.num_prompts:
            found += draw.choices(found, k=self.num_prompts - len(found))
        return found

    def _recorded(self, tokens: Tokens, draw: random.Random) -> list[Sample]:
        if self.path is None:
            raise BenchError(f"--dataset-name {self.name} needs a file: name it with --dataset-path")
        read = recorded.Reading(self.path, tokens, self.lengths, draw, self.chat_template, self.category)
        return RECORDED[self.name](read, self.num_prompts, self.shuffle)


Make = Callable[[int, Lengths, Tokens, random.Random], list[Sample]]
Read = Callable[["recorded.Reading", int, bool], list[Sample]]

SYNTHETIC: dict[str, Make] = {
    "random": synthetic.random_prompts,
    "prefix_repetition": synthetic.repeated_prefixes,
}
RECORDED: dict[str, Read] = {
    "sharegpt": recorded.sharegpt,
    "burstgpt": recorded.burstgpt,
    "sonnet": recorded.sonnet,
    "custom": recorded.custom,
    "spec_bench": recorded.spec_bench,
}


def check_name(name: str) -> None:
    """Raises BenchError with the reason for a data set that cannot be used here."""
    if name in REFUSED:
        raise BenchError(f"--dataset-name {name}: {REFUSED[name]}")
