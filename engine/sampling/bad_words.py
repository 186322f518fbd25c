"""Request field `bad_words`: token sequences that are never completed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.sampling.logits_processor import AddedRow, BatchUpdate, LogitsProcessor
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class _Bans:
    request: AddedRow
    always: torch.Tensor
    """Words of one token."""

    longer: tuple[tuple[npt.NDArray[np.int32], int], ...]
    """What must stand at the end of the output, and the token that may then not follow."""


class BadWords(LogitsProcessor):
    """A word counts in the output alone: one that the prompt begins may be finished."""

    def __init__(self, settings: EngineSettings, device: torch.device) -> None:
        self._device = device
        self._bans: dict[int, _Bans] = {}

    @staticmethod
    def serves(sampling: SamplingParams) -> bool:
        return bool(sampling.bad_words)

    def update(self, batch: BatchUpdate) -> None:
        for row in batch.removed:
            self._bans.pop(row, None)
        for new in batch.added:
            self._bans[new.row] = self._read(new)

    def _read(self, new: AddedRow) -> _Bans:
        words = new.sampling.bad_words
        single = torch.tensor([word[0] for word in words if len(word) == 1], dtype=torch.int64)
        longer = tuple((np.array(word[:-1], np.int32), word[-1]) for word in words if len(word) > 1)
        return _Bans(new, single.to(self._device), longer)

    def apply(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        for index, (row, length) in enumerate(zip(rows.tolist(), lengths.tolist(), strict=True)):
            bans = self._bans[row]
            logits[index].index_fill_(0, bans.always, float("-inf"))
            output = bans.request.output(length)
            for begun, last in bans.longer:
                if np.array_equal(output[-len(begun) :], begun):
                    logits[index, last] = float("-inf")
        return logits
