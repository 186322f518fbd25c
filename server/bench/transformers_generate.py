"""transformers' own generate over the same prompts: what the engine is compared with."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from paddock.engine.config import ServeConfig
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings

PAD = 0
"""Masked, so any id will do."""


class Generator:
    """A loaded model, with the data type that the engine would choose."""

    def __init__(self, config: ServeConfig, folder: Path, n: int) -> None:
        settings = EngineSettings.resolve(config, ModelShape.read(folder, config.model))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = getattr(torch, settings.dtype)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        self._n = n

    def generate(self, prompts: Sequence[tuple[list[int], int]]) -> list[int]:
        """One batch; the wanted tokens of each output. It runs to the longest, which is the cost of such batches."""
        width = max(len(token_ids) for token_ids, _ in prompts)
        rows = [[PAD] * (width - len(token_ids)) + token_ids for token_ids, _ in prompts]
        mask = [[0] * (width - len(token_ids)) + [1] * len(token_ids) for token_ids, _ in prompts]
        longest = max(num_output for _, num_output in prompts)
        device = self._model.device
        self._model.generate(
            torch.tensor(rows, device=device),
            attention_mask=torch.tensor(mask, device=device),
            do_sample=True,
            num_return_sequences=self._n,
            max_new_tokens=longest,
            min_new_tokens=longest,
            pad_token_id=PAD,
        )
        return [num_output for _, num_output in prompts for _ in range(self._n)]
