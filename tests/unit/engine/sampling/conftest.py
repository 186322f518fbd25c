"""A sampler over a table of rows, ready to be asked."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from paddock.engine.sampling.params import SamplingParams
from paddock.engine.sampling.sampler import SampledTokens, Sampler
from paddock.engine.sampling.table import SamplingTable

Sample = Callable[..., SampledTokens]


@pytest.fixture
def sample() -> Sample:
    """sample(logits `[n, vocab]`, one SamplingParams for each row, ...) -> what one step chooses."""

    def run(
        logits: torch.Tensor,
        params: Sequence[SamplingParams],
        *,
        prompts: Sequence[Sequence[int]] | None = None,
        outputs: Sequence[Sequence[int]] | None = None,
        eos: tuple[int, ...] = (),
    ) -> SampledTokens:
        count, vocab = logits.shape
        prompts = prompts or [[0]] * count
        outputs = outputs or [[]] * count
        table = SamplingTable(count + 3, vocab, eos, torch.device("cpu"))
        # Rows in falling order: a mix-up of row and batch index would show.
        rows = np.arange(count)[::-1] + 2
        for row, one, prompt, output in zip(rows, params, prompts, outputs, strict=True):
            tokens = np.array([*prompt, *output], np.int32)
            table.enter(int(row), one, tokens, len(prompt))
        lengths = np.array([len(p) + len(o) for p, o in zip(prompts, outputs, strict=True)], np.int64)
        return Sampler(table).sample(logits.clone(), rows.astype(np.int64), lengths)

    return run
