"""Decode steps recorded once for each of some batch sizes, and run again as a whole (`--cuda-graph-sizes`).

A step is of one token for each row; a batch between two sizes is filled up to the next. All other steps run eagerly, as
does a size whose recording fails or gives something else than the model did.
"""

import logging
from bisect import bisect_left
from collections.abc import Sequence

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.batch import StepBatch
from paddock.engine.worker.graph_recorder import Recorder, Step
from paddock.engine.worker.static_inputs import StaticInputs

logger = logging.getLogger(__name__)

LEAST_TOLERANCE = 1e-5

ROUNDINGS = 8
"""By which a replay may differ from the model, in steps of the type at the largest hidden state: libraries may choose
another order of sums while they are captured."""

DIFFERS = "its replay gives other numbers than the step itself"
FAILED_ELSEWHERE = "it failed on another rank"


class DecodeGraphs:
    """Life: `capture` once the model has its cache, then `replay` for each step. One that fails to capture is left out."""

    def __init__(
        self, inputs: StaticInputs, recorder: Recorder, settings: EngineSettings, place: Placement
    ) -> None:
        self._inputs, self._recorder, self._settings, self._place = inputs, recorder, settings, place
        self._recorded: dict[int, Step] = {}
        self.sizes: list[int] = []
        """Captured, ascending."""

    @torch.inference_mode()
    def capture(self, sizes: Sequence[int], num_blocks: int) -> None:
        """Largest first, so that smaller ones find room in its memory. Writes to the cache's blocks: call before any
        holds something. Ranks do it together."""
        failures: dict[str, list[int]] = {}
        for size in sorted(sizes, reverse=True):
            problem = self._capture(size, range(min(size, num_blocks)))
            if problem is not None:
                self._recorded.pop(size, None)
                failures.setdefault(problem, []).append(size)
        self.sizes = sorted(self._recorded)
        for problem, failed in failures.items():
            logger.warning(
                "decode steps of up to %s requests run eagerly, since no CUDA graph can stand for them: %s. With "
                "--enforce-eager none is tried.", " and ".join(map(str, sorted(failed))), problem,
            )  # fmt: skip

    def replay(self, batch: StepBatch, incoming: torch.Tensor | None) -> torch.Tensor | None:
        """Hidden states `[rows, hidden]`, on the last stage good until the next replay; None for a step that is to run
        eagerly. `batch` is on the host."""
        count = batch.token_ids.numel()
        place = bisect_left(self.sizes, count)
        if batch.metadata.max_query_len > 1 or place == len(self.sizes):
            return None
        size = self.sizes[place]
        self._inputs.write(size, batch.token_ids, batch.positions, batch.metadata, incoming)
        hidden = self._recorded[size]()[:count]
        # The way to the next stage may take longer than it is until the next step begins here.
        return hidden if self._place.is_last_stage else hidden.clone()

    def _capture(self, size: int, blocks: Sequence[int]) -> str | None:
        """Why it is not to be used; None once it is. Ranks agree on it before any waits for the others in a replay."""
        problem = None
        self._make_up(size, blocks, salt=1)
        try:
            self._recorded[size] = self._recorder.record(
                lambda: self._inputs.compute(size), self._settings.graph_warmups
            )
        except Exception as error:  # noqa: BLE001 (kernels are compiled here, and libraries raise what they like)
            problem = str(error).strip().partition("\n")[0] or type(error).__name__
        problem = self._agreed(problem)
        if problem is not None:
            return problem
        # Other numbers than it was recorded with, which it may not have kept.
        self._make_up(size, blocks, salt=3)
        expected = self._inputs.compute(size).clone()
        return self._agreed(None if _agree(self._recorded[size](), expected) else DIFFERS)

    def _make_up(self, size: int, blocks: Sequence[int], salt: int) -> None:
        settings = self._settings
        self._inputs.write_made_up(size, settings.vocab_size, blocks, settings.block_size, salt)

    def _agreed(self, problem: str | None) -> str | None:
        if self._place.size == 1:
            return problem
        failed = torch.tensor([float(problem is not None)], device=self._place.device)
        some_failed = self._place.all_reduce(failed).item()
        return problem or (FAILED_ELSEWHERE if some_failed else None)


def _agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    tolerance = max(LEAST_TOLERANCE, ROUNDINGS * torch.finfo(expected.dtype).eps)
    found, expected = found.float(), expected.float()
    scale = expected.nan_to_num(0, 0, 0).abs().max().item()
    return torch.allclose(found, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
