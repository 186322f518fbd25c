"""Masks of allowed tokens, as bits, laid over logits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")


@dataclass(frozen=True, slots=True)
class RowMasks:
    """The masks of a step's constrained rows."""

    rows: npt.NDArray[np.int64]
    """`[m]`"""

    words: npt.NDArray[np.int32]
    """`[m, ceil(vocab / 32)]`: token t is allowed when bit t % 32 of word t // 32 is set."""

    @staticmethod
    def decode(rows: list[int], words: bytes) -> "RowMasks":
        return RowMasks(np.array(rows, np.int64), np.frombuffer(words, np.int32).reshape(len(rows), -1))

    def apply(self, logits: torch.Tensor, rows: npt.NDArray[np.int64]) -> None:
        """`logits` `[n, vocab]` belong to `rows` `[n]`; of those with a mask what is forbidden becomes -inf."""
        order = {row: index for index, row in enumerate(self.rows.tolist())}
        chosen = [index for index, row in enumerate(rows.tolist()) if row in order]
        if not chosen:
            return
        taken = self.words[[order[row] for row in rows[chosen].tolist()]].view(np.uint8)
        allowed = _allowed(torch.from_numpy(taken).to(logits.device), logits.shape[1])
        where = torch.tensor(chosen, device=logits.device)
        logits[where] = logits[where].masked_fill_(~allowed, float("-inf"))

    def allows_other_than(self, row: int, token_ids: npt.NDArray[np.int64]) -> bool:
        """May the row get a token that is none of these? Yes for a row without a mask."""
        found = np.flatnonzero(self.rows == row)
        if not found.size:
            return True
        left = self.words[found[0]].view(np.uint32).copy()
        for token_id in token_ids.tolist():
            left[token_id >> 5] &= ~np.uint32(1 << (token_id & 31))
        return bool(left.any())


def _allowed(mask_bytes: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Bool `[m, vocab]` of uint8 `[m, bytes]`: a byte looks its eight bits up."""
    table = torch.from_numpy(_BITS).to(mask_bytes.device).bool()
    return table[mask_bytes.int()].flatten(1)[:, :vocab_size]
