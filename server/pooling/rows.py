"""The numbers of a result, as they are sent and as they are computed with. Importing this imports numpy."""

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from paddock.engine.pooling.params import PooledRows

Matrix = npt.NDArray[np.float32]


def matrix_of(rows: PooledRows) -> Matrix:
    """`[rows, width]`."""
    return np.frombuffer(rows.values, "<f4").reshape(-1, rows.width)


def mean_of_pieces(parts: Sequence[PooledRows], lengths: Sequence[int], normalize: bool) -> PooledRows:
    """The vector of a text from those of its pieces, each weighed by its tokens."""
    if len(parts) == 1:
        return parts[0]
    weights = np.asarray(lengths, np.float32) / sum(lengths)
    vector: Matrix = weights @ np.concatenate([matrix_of(part) for part in parts])
    if normalize:
        vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return PooledRows(len(vector), vector.astype("<f4").tobytes())


def cosines(firsts: Sequence[PooledRows], seconds: Sequence[PooledRows]) -> list[float]:
    """Pair by pair, of vectors of length 1."""
    left = np.concatenate([matrix_of(each) for each in firsts])
    right = np.concatenate([matrix_of(each) for each in seconds])
    products: list[float] = np.einsum("pd,pd->p", left, right).tolist()
    return products


def as_base64(rows: PooledRows) -> str:
    return base64.b64encode(rows.values).decode()
