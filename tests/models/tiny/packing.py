"""Rows of tokens for training: whole examples side by side, each with a mask of the tokens to learn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from conversation import Conversation
from tokenizer import END_OF_TEXT, END_OF_TURN, NO_THOUGHTS, TURN, prompt_of, token_id
from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Batch:
    """`tokens` int64 [rows, length]; `learn` bool [rows, length]: True where the token is a target."""

    tokens: torch.Tensor
    learn: torch.Tensor


@dataclass(frozen=True)
class Example:
    """Token ids, and for each of them whether it is a target."""

    ids: list[int]
    learn: list[bool]


class Encoder:
    """Turns conversations into examples: what the model would write is a target, what it is given is not."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.opening = tokenizer.encode(f"{TURN}assistant\n")
        self.no_thoughts = tokenizer.encode(NO_THOUGHTS)
        self.end = token_id(tokenizer, END_OF_TURN)

    def __call__(self, conversation: Conversation) -> Example:
        """All assistant turns of a chat are targets, without an empty `<think>` block; a plain document is one."""
        if not conversation.messages:
            ids = self.tokenizer.encode(conversation.completion + END_OF_TEXT)
            return Example(ids, [True] * len(ids))
        text = prompt_of(self.tokenizer, conversation) + conversation.completion + END_OF_TURN
        ids = self.tokenizer.encode(text)
        return Example(ids, self.targets(ids))

    def targets(self, ids: list[int]) -> list[bool]:
        """True from behind each opening (and empty block) to the end of that turn."""
        learn, position = [False] * len(ids), 0
        while position < len(ids):
            if not starts(ids, position, self.opening):
                position += 1
                continue
            position += len(self.opening)
            if starts(ids, position, self.no_thoughts):
                position += len(self.no_thoughts)
            end = ids.index(self.end, position) + 1
            learn[position:end] = [True] * (end - position)
            position = end
        return learn


def starts(ids: list[int], position: int, pattern: list[int]) -> bool:
    """True when `pattern` lies in `ids` at `position`."""
    return ids[position : position + len(pattern)] == pattern


def rows(examples: Iterable[Example], length: int, separator: int) -> Iterator[tuple[list[int], list[bool]]]:
    """Rows of `length` tokens that begin with an example; one that does not fit opens the next row.

    Attention is not cut between neighbours: a row reads like a long conversation, and the model learns to
    ignore what came earlier. An example longer than a row is left out.
    """
    ids: list[int] = []
    learn: list[bool] = []
    for example in examples:
        if len(example.ids) > length:
            continue
        if len(ids) + len(example.ids) > length:
            padding = length - len(ids)
            yield ids + [separator] * padding, learn + [False] * padding
            ids, learn = [], []
        ids += example.ids
        learn += example.learn
        if len(ids) < length:
            ids.append(separator)
            learn.append(False)


def batches(examples: Iterable[Example], length: int, count: int, separator: int) -> Iterator[Batch]:
    """Batches of `count` rows."""
    tokens: list[list[int]] = []
    masks: list[list[bool]] = []
    for row, learn in rows(examples, length, separator):
        tokens.append(row)
        masks.append(learn)
        if len(tokens) == count:
            yield Batch(torch.tensor(tokens), torch.tensor(masks))
            tokens, masks = [], []
