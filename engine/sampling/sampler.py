"""From logits to tokens, for all rows of a step together."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.executor.plan import NewRow, SampledRow
from paddock.engine.messages import PositionLogprobs
from paddock.engine.sampling.logprobs import position_logprobs
from paddock.engine.sampling.noise import noise_keys
from paddock.engine.sampling.processor_set import ProcessorSet
from paddock.engine.sampling.table import SamplingTable
from paddock.engine.sampling.token_masks import RowMasks
from paddock.engine.sampling.truncation import Draw, draw_from_all, draw_from_top, truncated
from paddock.engine.shortage import NO_MEMORY, is_shortage

logger = logging.getLogger(__name__)

NOT_A_NUMBER = (
    "the model gave no numbers (NaN) for the next token: an overflow, or a broken checkpoint. "
    "Where the checkpoint is sound, --dtype float32 or bfloat16 has more range than float16."
)
NO_TOKEN_LEFT = "no token of the vocabulary is left to choose from: every one of them was forbidden"


@dataclass(frozen=True)
class SampledTokens:
    token_ids: npt.NDArray[np.int64]
    """`[n]`, in the order of the rows asked for."""
    logprobs: list[PositionLogprobs | None]
    errors: dict[int, str] = field(default_factory=dict)
    """By index, rows whose token means nothing, though it is one of the vocabulary."""

    def of_rows(self, rows: npt.NDArray[np.int64]) -> list[SampledRow]:
        sampled = zip(rows.tolist(), self.token_ids.tolist(), self.logprobs, strict=True)
        if not self.errors:
            return [SampledRow(*one) for one in sampled]
        return [SampledRow(*one, self.errors.get(index)) for index, one in enumerate(sampled)]


class Sampler:
    """Rows are independent: whatever one asks for, or however broken its logits, the others get the same tokens."""

    def __init__(self, table: SamplingTable, processors: ProcessorSet) -> None:
        self.table = table
        self.processors = processors

    def update(
        self, freed_rows: Sequence[int], new_rows: Sequence[NewRow], token_ids: npt.NDArray[np.int32]
    ) -> None:
        """Requests have left and entered rows; `token_ids` `[rows, longest]` already holds the new ones' tokens."""
        self.processors.update(freed_rows, new_rows, token_ids)
        for new in new_rows:
            known = token_ids[new.row, : len(new.token_ids)]
            try:
                self.table.enter(new.row, new.sampling, known, new.num_prompt_tokens)
            except Exception as error:
                if not is_shortage(error):
                    raise
                self.processors.end_request(new.row, NO_MEMORY)

    def sample(
        self,
        logits: torch.Tensor,
        rows: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        masks: RowMasks | None = None,
    ) -> SampledTokens:
        """`logits` float32 `[n, vocab]` (may be changed), `rows` `[n]`, `lengths` `[n]` tokens known so far."""
        reported = self.table.has_logprobs[rows].nonzero()[0]
        raw = self.table.logprobs_mode in ("raw_logprobs", "raw_logits")
        # What follows works in place, so what raw numbers need is kept aside first.
        scores = logits[torch.from_numpy(reported).to(logits.device)] if reported.size and raw else None
        changes_logits = bool(self.table.changes_logits[rows].any())
        if changes_logits:
            self._process(logits, rows, lengths, masks)
        errors = dict(self.processors.apply(logits, rows, lengths))
        if masks is not None:
            # Last, so that nothing brings back what a mask forbids.
            masks.apply(logits, rows)
        if reported.size and not raw:
            scores = self._processed(logits, rows, lengths, reported)
        tokens, best = self._choose(logits, rows, lengths)
        token_ids = _settle(tokens, best, errors)
        logprobs: list[PositionLogprobs | None] = [None] * len(rows)
        if scores is not None:
            counts = [self.table.logprobs[row] or 0 for row in rows[reported]]
            chosen = torch.from_numpy(token_ids[reported]).to(scores.device)
            entries = position_logprobs(scores, chosen, counts, self.table.reports_logits)
            for index, entry in zip(reported, entries, strict=True):
                logprobs[index] = entry
        # Last: what finds no memory before is computed again, and no token may count twice.
        if changes_logits:
            self.table.penalties.count(rows, token_ids)
        return SampledTokens(token_ids, logprobs, errors)

    def _processed(
        self,
        logits: torch.Tensor,
        rows: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        reported: npt.NDArray[np.int64],
    ) -> torch.Tensor:
        """What tokens are drawn from, in new memory: over temperature, -inf where truncation left a token out.

        A greedy row is as the processors left it, since neither applies to it.
        """
        scores = logits[torch.from_numpy(reported).to(logits.device)]
        random = np.flatnonzero(self.table.temperature[rows[reported]] > 0)
        if random.size:
            chosen, index = rows[reported][random], torch.from_numpy(random).to(logits.device)
            hot = scores[index] / self._on(logits, self.table.temperature[chosen])[:, None]
            scores[index] = truncated(hot, self._parameters(logits, chosen, lengths[reported][random]))
        return scores

    def _process(
        self,
        logits: torch.Tensor,
        rows: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        masks: RowMasks | None,
    ) -> None:
        """Penalties, then bias, then bans: a bias cannot bring back what `min_tokens` forbids.

        Where a mask allows nothing but the end, `min_tokens` yields.
        """
        table = self.table
        table.penalties.apply(logits, rows)
        for index in np.flatnonzero(table.has_bias[rows]):
            ids, values = table.bias[int(rows[index])]
            logits[int(index)].index_add_(0, ids, values)
        too_short = lengths - table.num_prompt_tokens[rows] < table.min_tokens[rows]
        for index in np.flatnonzero(too_short):
            row = int(rows[index])
            banned = table.banned[row]
            if masks is None or masks.allows_other_than(row, banned.cpu().numpy()):
                logits[int(index)].index_fill_(0, banned, float("-inf"))

    def _choose(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens `[n]`, and the best logit of each row `[n]`: NaN where the row holds one, -inf where nothing is left."""
        table = self.table
        random = (table.temperature[rows] > 0).nonzero()[0]
        if not random.size:
            return _largest(logits)
        cut = (table.top_k[rows] > 0) | (table.top_p[rows] < 1)
        greedy = np.flatnonzero(table.temperature[rows] <= 0)
        tokens = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
        best = torch.empty(len(rows), dtype=logits.dtype, device=logits.device)
        if greedy.size:
            index = torch.from_numpy(greedy).to(logits.device)
            tokens[index], best[index] = _largest(logits[index])
        for draw, chosen in ((draw_from_top, random[cut[random]]), (draw_from_all, random[~cut[random]])):
            if chosen.size:
                index = torch.from_numpy(chosen).to(logits.device)
                temperature = self._on(logits, table.temperature[rows[chosen]])
                # Relative to the best, so that huge logits at a low temperature underflow instead of overflowing.
                scores = logits[index]
                best[index] = scores.amax(dim=-1)
                scores.sub_(best[index, None]).div_(temperature[:, None])
                tokens[index] = draw(scores, self._parameters(logits, rows[chosen], lengths[chosen]))
        return tokens, best

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


def _largest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices `[n]` of the largest of each row (the first of equals; of a NaN where there is one), and their values."""
    if logits.device.type != "cpu":
        values, tokens = logits.max(dim=-1)
        return tokens, values
    # NumPy's search for it is vectorised, torch's is not: eight times as long for a large vocabulary.
    scores = logits.numpy()
    tokens = scores.argmax(axis=-1)
    return torch.from_numpy(tokens), torch.from_numpy(scores[np.arange(len(tokens)), tokens])


def _settle(tokens: torch.Tensor, best: torch.Tensor, errors: dict[int, str]) -> npt.NDArray[np.int64]:
    """Add to `errors` the rows without a token that means anything, and give them one that harms nothing."""
    token_ids: npt.NDArray[np.int64] = tokens.cpu().numpy()
    if not (best.cpu().numpy() > float("-inf")).all():
        for index, score in enumerate(best.tolist()):
            if not score > float("-inf"):
                errors.setdefault(index, NOT_A_NUMBER if math.isnan(score) else NO_TOKEN_LEFT)
    for index, error in errors.items():
        token_ids[index] = 0
        logger.warning("a request ends: %s", error)
    return token_ids
