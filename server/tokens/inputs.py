"""One text, or a pair, as the token ids that a pooling model reads."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedInput:
    token_ids: list[int]
    second_from: int | None = None
    """Where the tokenizer's second type of token begins; None where it has one type alone."""


def first_of_second(type_ids: list[int]) -> int | None:
    """Types are 0 and then 1."""
    return type_ids.index(1) if 1 in type_ids else None


def kept_lengths(first: int, second: int, room: int) -> tuple[int, int]:
    """How much of two texts fits `room` tokens: the longer one gives way first, then both do evenly."""
    if first + second <= room:
        return first, second
    half = room // 2
    if second <= half:
        return room - second, second
    if first <= half:
        return first, room - first
    return room - half, half
