"""The sampling parameters of every row, as arrays indexed by row."""

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.sampling.params import SamplingParams
from paddock.engine.sampling.penalties import PenaltyCounts
from paddock.engine.settings import LogprobsMode

_SEED_MASK = (1 << 64) - 1


class SamplingTable:
    """A row's entries are written when its request enters and overwritten by the next one; nothing is ever freed."""

    def __init__(
        self,
        max_rows: int,
        vocab_size: int,
        eos_token_ids: tuple[int, ...],
        device: torch.device,
        logprobs_mode: LogprobsMode = "raw_logprobs",
    ) -> None:
        self.device = device
        self.logprobs_mode = logprobs_mode
        self.vocab_size = vocab_size
        self.eos_token_ids = eos_token_ids
        self.temperature = np.zeros(max_rows, np.float32)
        self.top_k = np.zeros(max_rows, np.int64)
        self.top_p = np.ones(max_rows, np.float32)
        self.min_p = np.zeros(max_rows, np.float32)
        self.seed = np.zeros(max_rows, np.uint64)
        self.num_prompt_tokens = np.zeros(max_rows, np.int64)
        self.min_tokens = np.zeros(max_rows, np.int64)
        self.has_bias = np.zeros(max_rows, np.bool_)
        self.changes_logits = np.zeros(max_rows, np.bool_)
        """Whether a row has penalties, a bias, or a least number of tokens."""
        self.has_logprobs = np.zeros(max_rows, np.bool_)
        self.logprobs: list[int | None] = [None] * max_rows
        self.prompt_logprobs: list[int | None] = [None] * max_rows
        self.bias: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.banned: dict[int, torch.Tensor] = {}
        self.penalties = PenaltyCounts(max_rows, vocab_size, device)

    @property
    def reports_logits(self) -> bool:
        """Whether what is reported of a token is its logit, not the logarithm of its probability."""
        return self.logprobs_mode in ("raw_logits", "processed_logits")

    def enter(
        self, row: int, params: SamplingParams, token_ids: npt.NDArray[np.int32], num_prompt_tokens: int
    ) -> None:
        """`token_ids` holds the prompt and, after a preemption, what had been generated."""
        self.temperature[row] = params.temperature
        self.top_k[row] = params.top_k if params.top_k < self.vocab_size else 0
        self.top_p[row] = params.top_p
        self.min_p[row] = params.min_p
        self.seed[row] = (params.seed or 0) & _SEED_MASK
        self.num_prompt_tokens[row] = num_prompt_tokens
        self.min_tokens[row] = params.min_tokens
        self.logprobs[row] = params.logprobs
        self.has_logprobs[row] = params.logprobs is not None
        self.prompt_logprobs[row] = params.prompt_logprobs
        self._enter_bias(row, params.logit_bias)
        self._enter_bans(row, params)
        self.penalties.enter(row, params, token_ids, num_prompt_tokens)
        self.changes_logits[row] = self.penalties.active[row] or self.has_bias[row] or self.min_tokens[row]

    def _enter_bias(self, row: int, bias: dict[int, float]) -> None:
        self.has_bias[row] = bool(bias)
        if bias:
            ids = torch.tensor(list(bias), dtype=torch.int64, device=self.device)
            self.bias[row] = ids, torch.tensor(list(bias.values()), dtype=torch.float32, device=self.device)

    def _enter_bans(self, row: int, params: SamplingParams) -> None:
        ids = {i for i in (*self.eos_token_ids, *params.stop_token_ids) if i < self.vocab_size}
        if params.min_tokens and ids:
            self.banned[row] = torch.tensor(sorted(ids), dtype=torch.int64, device=self.device)
        else:
            self.min_tokens[row] = 0
