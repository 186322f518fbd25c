"""What the largest step takes beside weights and cache, by running one before the cache is sized."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from paddock.engine.executor.plan import NewRow, ScheduledRow, StepPlan
from paddock.engine.free_memory import return_free_memory
from paddock.engine.pooling.params import PoolingParams
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

CPU_TOKENS = 128
"""A whole step would hold up the start of a large model on a CPU by minutes. Every tensor of a step grows with its
tokens or with its rows, so one that has the same part of both shows what the whole one takes."""

WARM_UP_TOKENS = 16
"""Of the step before the measured one: what libraries take once and keep is not the next step's."""


@dataclass(frozen=True, slots=True)
class TrialStep:
    """A step of `num_tokens` in `num_rows`, whose cost times `scale` is that of the largest the scheduler may form."""

    num_tokens: int
    num_rows: int
    scale: float

    @staticmethod
    def of(settings: EngineSettings, most_tokens: int | None = None) -> "TrialStep":
        whole_tokens = min(settings.max_num_batched_tokens, settings.max_num_seqs * settings.max_model_len)
        whole_rows = min(settings.max_num_seqs, whole_tokens)
        tokens = min(whole_tokens, most_tokens or whole_tokens)
        rows = min(tokens, max(-(-whole_rows * tokens // whole_tokens), -(-tokens // settings.max_model_len)))
        return TrialStep(tokens, rows, max(whole_tokens / tokens, whole_rows / rows))

    def num_blocks(self, settings: EngineSettings) -> int:
        return sum(-(-length // settings.block_size) for length in self._lengths(settings.max_model_len))

    def _lengths(self, longest: int) -> list[int]:
        """One token for each row, and the rest in as few rows as hold it: long prompts among others' decodes."""
        lengths, left = [], self.num_tokens
        for behind in range(self.num_rows - 1, -1, -1):
            lengths.append(min(longest, left - behind))
            left -= lengths[-1]
        return lengths

    def plan(self, settings: EngineSettings) -> StepPlan:
        """Every row ends with a token that is drawn from a truncated distribution and reported."""
        sampling = SamplingParams(
            max_tokens=1, temperature=1.0, top_p=0.9, presence_penalty=0.1, logprobs=1, seed=0
        )
        pooling = None if settings.pooling is None else PoolingParams(pooling="ALL")
        new_rows, scheduled, first = [], [], 0
        for row, length in enumerate(self._lengths(settings.max_model_len)):
            last = first + -(-length // settings.block_size)
            new_rows.append(NewRow(row, f"trial-{row}", [0] * length, length, sampling, pooling))
            scheduled.append(ScheduledRow(row, 0, length, list(range(first, last)), samples=True))
            first = last
        return StepPlan(0, [], new_rows, scheduled)


def peak_on_cuda(step: Callable[[], object], device: torch.device) -> int:
    """Bytes by which the allocator's share of the device grows during `step`."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_reserved(device)
    step()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_reserved(device) - before
    torch.cuda.empty_cache()
    return peak


def peak_on_host(step: Callable[[], object]) -> int:
    """Bytes by which the resident memory of this process grows at most during `step`; 0 where the kernel does not let
    it be measured."""
    return_free_memory()
    try:
        # proc(5): 5 sets the peak back to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    before = _status_bytes("VmRSS")
    step()
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(key: str) -> int:
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index(f"{key}:") + 1]) * 1024
