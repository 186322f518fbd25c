"""From logits to tokens, for all rows of a step together."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.messages import PositionLogprobs
from paddock.engine.sampling.logprobs import position_logprobs
from paddock.engine.sampling.noise import noise_keys
from paddock.engine.sampling.table import SamplingTable
from paddock.engine.sampling.truncation import Draw, draw_from_all, draw_from_top

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampledTokens:
    token_ids: npt.NDArray[np.int64]
    """`[n]`, in the order of the rows asked for."""
    logprobs: list[PositionLogprobs | None]


class Sampler:
    """Rows are independent: whatever one asks for, or however broken its logits, the others get the same tokens."""

    def __init__(self, table: SamplingTable) -> None:
        self.table = table
        self.nan_reported = False

    def sample(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> SampledTokens:
        """`logits` float32 `[n, vocab]` (may be changed), `rows` `[n]`, `lengths` `[n]` tokens known so far."""
        reported = np.flatnonzero(self.table.has_logprobs[rows])
        # Processors work in place, so what the log-probabilities need is kept aside first.
        raw = logits[torch.from_numpy(reported).to(logits.device)] if reported.size else None
        self._process(logits, rows, lengths)
        tokens = self._choose(logits, rows, lengths)
        token_ids = self._heal(logits, tokens)
        self.table.penalties.count(rows, token_ids)
        logprobs: list[PositionLogprobs | None] = [None] * len(rows)
        if raw is not None:
            counts = [self.table.logprobs[row] or 0 for row in rows[reported]]
            chosen = torch.from_numpy(token_ids[reported]).to(raw.device)
            for index, entry in zip(reported, position_logprobs(raw, chosen, counts), strict=True):
                logprobs[index] = entry
        return SampledTokens(token_ids, logprobs)

    def _process(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> None:
        """Penalties, then bias, then bans: a bias cannot bring back what `min_tokens` forbids."""
        table = self.table
        table.penalties.apply(logits, rows)
        for index in np.flatnonzero(table.has_bias[rows]):
            ids, values = table.bias[int(rows[index])]
            logits[int(index)].index_add_(0, ids, values)
        too_short = lengths - table.num_prompt_tokens[rows] < table.min_tokens[rows]
        for index in np.flatnonzero(too_short):
            logits[int(index)].index_fill_(0, table.banned[int(rows[index])], float("-inf"))

    def _choose(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        table = self.table
        random = np.flatnonzero(table.temperature[rows] > 0)
        if not random.size:
            return logits.argmax(dim=-1)
        cut = (table.top_k[rows] > 0) | (table.top_p[rows] < 1)
        greedy = np.flatnonzero(table.temperature[rows] <= 0)
        tokens = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
        if greedy.size:
            index = torch.from_numpy(greedy).to(logits.device)
            tokens[index] = logits[index].argmax(dim=-1)
        for draw, chosen in ((draw_from_top, random[cut[random]]), (draw_from_all, random[~cut[random]])):
            if chosen.size:
                index = torch.from_numpy(chosen).to(logits.device)
                temperature = self._on(logits, table.temperature[rows[chosen]])
                # Relative to the best, so that huge logits at a low temperature underflow instead of overflowing.
                scores = logits[index]
                scores.sub_(scores.amax(dim=-1, keepdim=True)).div_(temperature[:, None])
                tokens[index] = draw(scores, self._parameters(logits, rows[chosen], lengths[chosen]))
        return tokens

    def _parameters(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> Draw:
        table = self.table
        top_k, min_p = table.top_k[rows], table.min_p[rows]
        return Draw(
            self._on(logits, top_k),
            self._on(logits, table.top_p[rows]),
            self._on(logits, min_p),
            self._on(logits, noise_keys(table.seed[rows], lengths)),
            width=int(top_k.max()) if top_k.all() else 0,
            has_min_p=bool(min_p.any()),
        )

    @staticmethod
    def _on(logits: torch.Tensor, values: npt.NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(values).to(logits.device)

    def _heal(self, logits: torch.Tensor, tokens: torch.Tensor) -> npt.NDArray[np.int64]:
        """A row with NaN (overflow, a broken checkpoint) gets its best finite token, and a warning is logged once.

        Every choice above returns a NaN entry where there is one, so looking at the chosen logits finds such rows.
        """
        broken = logits.gather(1, tokens[:, None]).squeeze(1).isnan()
        token_ids: npt.NDArray[np.int64] = tokens.cpu().numpy()
        indices = broken.nonzero().squeeze(1).tolist()
        for index in indices:
            token_ids[index] = int(logits[index].nan_to_num(nan=float("-inf")).argmax())
        if indices and not self.nan_reported:
            self.nan_reported = True
            logger.warning("the model gave NaN logits; the best finite token is taken. Reported once.")
        return token_ids
