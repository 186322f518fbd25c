"""transformers' `generate` of the tiny model without HTTP: one batch with as many rows as there are clients."""

import time
from pathlib import Path

import torch
from clients.streaming import ANSWER_TOKENS, prompts
from transformers import AutoModelForCausalLM


class GenerateBatch:
    """Loaded once. Float32, on all of torch's threads."""

    def __init__(self, folder: Path) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokens_per_second(1)  # its first run is slower than those that follow

    def tokens_per_second(self, rows: int) -> float:
        batch = torch.tensor(prompts(rows))
        began = time.perf_counter()
        self._model.generate(
            batch,
            attention_mask=torch.ones_like(batch),
            do_sample=False,
            max_new_tokens=ANSWER_TOKENS,
            min_new_tokens=ANSWER_TOKENS,
        )
        return rows * ANSWER_TOKENS / (time.perf_counter() - began)
