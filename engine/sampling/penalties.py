"""Repetition, frequency and presence penalties."""

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.layers.zeroed_memory import zeroed
from paddock.engine.sampling.params import SamplingParams


class PenaltyCounts:
    """How often each row's tokens occurred. The tables exist once the first penalised request comes.

    Repetition (Keskar et al. 2019, as in transformers) looks at prompt and output: a positive logit is divided by the
    penalty, a negative one multiplied. Frequency and presence (as in OpenAI's API) look at the output alone:
    `logit -= frequency * count + presence * (count > 0)`.
    """

    def __init__(self, max_rows: int, vocab_size: int, device: torch.device) -> None:
        self.shape = (max_rows, vocab_size)
        self.device = device
        self.active = np.zeros(max_rows, np.bool_)
        # Columns: repetition, frequency, presence.
        self.strength = np.zeros((max_rows, 3), np.float32)
        self.output_counts: torch.Tensor | None = None
        self.in_prompt: torch.Tensor | None = None

    def enter(
        self, row: int, params: SamplingParams, token_ids: npt.NDArray[np.int32], num_prompt_tokens: int
    ) -> None:
        strength = params.repetition_penalty, params.frequency_penalty, params.presence_penalty
        self.active[row] = strength != (1.0, 0.0, 0.0)
        if not self.active[row]:
            return
        self.strength[row] = strength
        counts, in_prompt = self._tables()
        tokens = torch.from_numpy(token_ids).to(self.device, torch.int64)
        vocab_size = self.shape[1]
        counts[row] = torch.bincount(tokens[num_prompt_tokens:], minlength=vocab_size)
        in_prompt[row] = torch.bincount(tokens[:num_prompt_tokens], minlength=vocab_size) > 0

    def _tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self.output_counts is None or self.in_prompt is None:
            self.output_counts = zeroed(self.shape, torch.int32, self.device)
            self.in_prompt = zeroed(self.shape, torch.bool, self.device)
        return self.output_counts, self.in_prompt

    def apply(self, logits: torch.Tensor, rows: npt.NDArray[np.int64]) -> None:
        """Change `logits` `[n, vocab]` of the penalised among `rows` `[n]`, in place."""
        chosen = np.flatnonzero(self.active[rows])
        if not chosen.size:
            return
        # A row at a time on a CPU: its passes then run in the processor's cache.
        step = 1 if self.device.type == "cpu" else len(chosen)
        for start in range(0, len(chosen), step):
            self._apply(logits, rows, chosen[start : start + step])

    def _apply(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]
    ) -> None:
        counts, in_prompt = self._tables()
        strength = self.strength[rows[chosen]]
        index, where = (torch.from_numpy(i).to(self.device) for i in (rows[chosen], chosen))
        repetition, frequency, presence = torch.from_numpy(strength).to(self.device)[:, :, None].unbind(1)
        count, scores = counts[index], logits[where]
        seen = count > 0
        if (strength[:, 0] != 1).any():
            repeated = torch.where(scores > 0, scores / repetition, scores * repetition)
            scores = torch.where(seen | in_prompt[index], repeated, scores)
        if (strength[:, 1:] != 0).any():
            scores.sub_(count * frequency).sub_(seen * presence)
        logits[where] = scores

    def count(self, rows: npt.NDArray[np.int64], token_ids: npt.NDArray[np.int64]) -> None:
        """`rows` have just got these tokens, one each."""
        chosen = np.flatnonzero(self.active[rows])
        if not chosen.size:
            return
        counts, _ = self._tables()
        index = torch.from_numpy(rows[chosen]).to(self.device)
        tokens = torch.from_numpy(token_ids[chosen]).to(self.device)
        counts[index, tokens] += 1
