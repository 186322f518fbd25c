"""Workloads read from files: conversations, prompts, a trace of lengths, lines of verse."""

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.server.bench.errors import BenchError
from paddock.server.bench.lengths import Lengths
from paddock.server.bench.sample import Sample
from paddock.server.bench.tokens import Tokens, token_pool

LEAST_TOKENS, MOST_PROMPT_TOKENS, MOST_TOKENS = 4, 1024, 2048
"""Bounds on a recorded conversation, so that runs with the same file stay comparable among tools."""

VERSE_REQUEST = "Continue this poem in the same manner:\n"


@dataclass(frozen=True, slots=True)
class Reading:
    """A file, and how to make samples of it."""

    path: str
    tokens: Tokens
    lengths: Lengths
    draw: random.Random
    chat_template: bool
    category: str | None

    def sample(self, text: str, output_len: int) -> Sample:
        if self.chat_template:
            return Sample(output_len, text=text, token_ids=self.tokens.encode_chat(text))
        return Sample(output_len, text=text)

    def text(self) -> str:
        """Raises BenchError."""
        try:
            return Path(self.path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(f"--dataset-path {self.path}: cannot be read: {error}") from None

    def records(self) -> list[Any]:
        """The elements of a JSON list, or the lines of a JSON Lines file. Raises BenchError."""
        text = self.text()
        try:
            if text.lstrip().startswith("["):
                return list(json.loads(text))
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise BenchError(
                f"--dataset-path {self.path}: is neither a JSON list nor JSON Lines: {error}"
            ) from None


def sharegpt(reading: Reading, count: int, shuffle: bool) -> list[Sample]:
    """The first question of each conversation, with an answer as long as the recorded one."""
    turns = [each for each in map(_first_turns, reading.records()) if each is not None]
    found: list[Sample] = []
    for question, answer in _in_order(turns, shuffle, reading.draw):
        if len(found) == count:
            break
        fixed = reading.lengths.sharegpt_output
        num_output = len(reading.tokens.encode(answer)) if fixed is None else fixed
        num_prompt = len(reading.tokens.encode(question))
        long_enough = num_prompt >= LEAST_TOKENS and (fixed is not None or num_output >= LEAST_TOKENS)
        if long_enough and num_prompt <= MOST_PROMPT_TOKENS and num_prompt + num_output <= MOST_TOKENS:
            found.append(Sample(num_output, text=question))
    return found


def custom(reading: Reading, count: int, shuffle: bool) -> list[Sample]:
    """Lines of {"prompt": …}."""
    prompts = [_field(reading, at, record, "prompt") for at, record in enumerate(reading.records(), 1)]
    chosen = _in_order(prompts, shuffle, reading.draw)[:count]
    return [reading.sample(prompt, reading.lengths.custom_output) for prompt in chosen]


def spec_bench(reading: Reading, count: int, shuffle: bool) -> list[Sample]:
    """Lines of {"category": …, "turns": [first question, …]}."""
    prompts = []
    for at, record in enumerate(reading.records(), 1):
        turns = record.get("turns") if isinstance(record, dict) else None
        if not isinstance(turns, list) or not turns or not isinstance(turns[0], str):
            raise BenchError(f"--dataset-path {reading.path}: record {at} has no turns, a list of texts")
        if reading.category in (None, record.get("category")):
            prompts.append(turns[0])
    chosen = _in_order(prompts, shuffle, reading.draw)[:count]
    return [reading.sample(prompt, reading.lengths.spec_bench_output) for prompt in chosen]


def burstgpt(reading: Reading, count: int, shuffle: bool) -> list[Sample]:
    """Random prompts of the lengths in a trace's columns `Request tokens` and `Response tokens`."""
    rows = csv.DictReader(reading.text().splitlines())
    try:
        sizes = [(int(row["Request tokens"]), int(row["Response tokens"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(
            f"--dataset-path {reading.path}: needs the columns Request tokens and Response tokens: {error!r}"
        ) from None
    answered = [(request, response) for request, response in sizes if request > 0 and response > 0]
    pool = token_pool(reading.tokens, reading.draw)
    return [
        Sample(num_output, token_ids=reading.draw.choices(pool, k=num_prompt))
        for num_prompt, num_output in _in_order(answered, shuffle, reading.draw)[:count]
    ]


def sonnet(reading: Reading, count: int, shuffle: bool) -> list[Sample]:
    """Lines of verse: the first ones the same in each prompt, the others drawn, up to the wanted lengths."""
    lines = [line for line in reading.text().splitlines() if line.strip()]
    sizes = [len(reading.tokens.encode(line + "\n")) for line in lines]
    lengths = reading.lengths
    used = len(reading.tokens.encode(VERSE_REQUEST))
    common: list[str] = []
    for line, size in zip(lines, sizes, strict=True):
        if used + size > min(lengths.sonnet_prefix, lengths.sonnet_input):
            break
        common.append(line)
        used += size
    return [
        reading.sample(_verse(common, lines, sizes, lengths.sonnet_input - used, reading.draw if shuffle else None),
                       lengths.sonnet_output)
        for _ in range(count if lines else 0)
    ]  # fmt: skip


def _verse(
    common: list[str], lines: list[str], sizes: list[int], room: int, draw: random.Random | None
) -> str:
    """The common lines and as many others as there is room for: drawn, or in the order of the file."""
    chosen = list(common)
    for at in _places(len(common), len(lines), draw):
        if sizes[at] > room:
            break
        room -= sizes[at]
        chosen.append(lines[at])
    return VERSE_REQUEST + "\n".join(chosen)


def _places(first: int, count: int, draw: random.Random | None) -> Iterator[int]:
    """Endless places in a file; without a draw the lines after the first ones, over and over."""
    place = first
    while True:
        yield draw.randrange(count) if draw is not None else place % count
        place += 1


def _in_order(items: list[Any], shuffle: bool, draw: random.Random) -> list[Any]:
    return draw.sample(items, len(items)) if shuffle else items


def _first_turns(record: Any) -> tuple[str, str] | None:
    """Question and answer; None for a conversation that has not both."""
    turns = record.get("conversations", record.get("conversation")) if isinstance(record, dict) else None
    if not isinstance(turns, list) or len(turns) < 2:
        return None
    texts = [turn.get("value") if isinstance(turn, dict) else None for turn in turns[:2]]
    question, answer = texts
    return (question, answer) if isinstance(question, str) and isinstance(answer, str) else None


def _field(reading: Reading, at: int, record: Any, name: str) -> str:
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, str) or not value:
        raise BenchError(f"--dataset-path {reading.path}: record {at} has no text {name!r}")
    return value
