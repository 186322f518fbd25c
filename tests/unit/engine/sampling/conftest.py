"""A sampler over a table of rows, ready to be asked."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from paddock.engine.executor.plan import NewRow
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.sampling.processor_set import ProcessorSet
from paddock.engine.sampling.sampler import SampledTokens, Sampler
from paddock.engine.sampling.table import SamplingTable
from paddock.engine.settings import EngineSettings

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
        **settings: object,
    ) -> SampledTokens:
        count, vocab = logits.shape
        prompts = prompts or [[0]] * count
        outputs = outputs or [[]] * count
        device = torch.device("cpu")
        made = EngineSettings(
            max_model_len=64,
            dtype="float32",
            vocab_size=vocab,
            eos_token_ids=eos,
            block_size=4,
            max_num_seqs=count + 3,
            max_num_batched_tokens=64,
            max_waiting=1,
            **settings,
        )
        table = SamplingTable(count + 3, vocab, eos, device, made.logprobs_mode)
        sampler = Sampler(table, ProcessorSet(made, device))
        longest = max(len(p) + len(o) for p, o in zip(prompts, outputs, strict=True)) + 1
        memory = np.zeros((count + 3, longest), np.int32)
        new_rows = []
        # Rows in falling order: a mix-up of row and batch index would show.
        rows = np.arange(count)[::-1] + 2
        for row, one, prompt, output in zip(rows, params, prompts, outputs, strict=True):
            known = [*prompt, *output]
            memory[row, : len(known)] = known
            new_rows.append(NewRow(int(row), str(row), known, len(prompt), one))
        sampler.update([], new_rows, memory)
        lengths = np.array([len(p) + len(o) for p, o in zip(prompts, outputs, strict=True)], np.int64)
        return sampler.sample(logits.clone(), rows.astype(np.int64), lengths)

    return run
