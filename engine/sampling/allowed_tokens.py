"""Request field `allowed_token_ids`: no other token can be chosen."""

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.sampling.logits_processor import BatchUpdate, LogitsProcessor
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings


class AllowedTokens(LogitsProcessor):
    def __init__(self, settings: EngineSettings, device: torch.device) -> None:
        self._device = device
        self._allowed: dict[int, torch.Tensor] = {}

    @staticmethod
    def serves(sampling: SamplingParams) -> bool:
        return bool(sampling.allowed_token_ids)

    def update(self, batch: BatchUpdate) -> None:
        for row in batch.removed:
            self._allowed.pop(row, None)
        for new in batch.added:
            ids = torch.tensor(new.sampling.allowed_token_ids, dtype=torch.int64)
            self._allowed[new.row] = ids.to(self._device)

    def apply(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        for index, row in enumerate(rows.tolist()):
            allowed = self._allowed[row]
            kept = logits[index, allowed]
            logits[index].fill_(float("-inf"))
            logits[index, allowed] = kept
        return logits
