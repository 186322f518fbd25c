"""What one request asks of a pooling model and what it gets, as they travel between server and engine."""

from typing import Literal

import msgspec

PoolingType = Literal["ALL", "CLS", "LAST", "MEAN", "STEP"]
"""Which hidden states make the result: every token's, the first's, the last's, their mean, or those at step tags."""

OF_EVERY_TOKEN = ("ALL", "STEP")
"""Types with a row for each token, or for some, in place of one row."""


class PoolingParams(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How one input becomes a result. Nothing is left to defaults of the model: the API server has filled them in."""

    pooling: PoolingType
    scores: bool = False
    """Through the model's head: class scores in place of hidden states."""

    activate: bool = True
    """Embeddings are scaled to length 1, scores go through the model's activation."""

    dimensions: int | None = None
    """Embeddings are cut to this many values, before they are scaled."""

    second_from: int | None = None
    """Index of the first token of the second text of a pair, for models that tell the two apart."""


class PooledRows(msgspec.Struct, array_like=True, frozen=True):
    """A matrix of float32, little-endian, row after row. One row, unless every token has its own."""

    width: int
    values: bytes
