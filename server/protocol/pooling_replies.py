"""Replies with vectors and scores, laid out for msgspec."""

import msgspec

Values = list[float] | list[list[float]] | str
"""A vector, a row for each token, or the same numbers as base64 of float32, little-endian."""


class PoolingUsage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class Embedding(msgspec.Struct):
    index: int
    embedding: Values
    object: str = "embedding"


class Pooled(msgspec.Struct):
    index: int
    data: Values
    object: str = "pooling"


class Classification(msgspec.Struct):
    index: int
    label: str
    probs: list[float]
    num_classes: int


class Score(msgspec.Struct):
    index: int
    score: float
    object: str = "score"


class RankedText(msgspec.Struct):
    text: str


class Ranked(msgspec.Struct, omit_defaults=True):
    index: int
    relevance_score: float
    document: RankedText | None = None


class PoolingReply(msgspec.Struct):
    id: str
    created: int
    model: str
    data: list[Embedding] | list[Pooled] | list[Classification] | list[Score]
    usage: PoolingUsage
    object: str = "list"


class RerankReply(msgspec.Struct):
    id: str
    model: str
    usage: PoolingUsage
    results: list[Ranked]
