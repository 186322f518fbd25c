"""One worker's CUDA graphs: whether there are any, what memory they take, and when they are captured."""

import logging
import time
from itertools import pairwise

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.model import PooledModel
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.capturable import eager_reason
from paddock.engine.worker.decode_graphs import DecodeGraphs
from paddock.engine.worker.device import free_memory
from paddock.engine.worker.graph_recorder import Recorder, recorder_for
from paddock.engine.worker.static_inputs import StaticInputs

logger = logging.getLogger(__name__)


class GraphCapture:
    """Made once the model is loaded."""

    def __init__(
        self,
        model: CausalLM | PooledModel,
        settings: EngineSettings,
        place: Placement,
        shape: ModelShape,
        cache_dtype: torch.dtype,
    ) -> None:
        self._model, self._settings, self._place = model, settings, place
        self._hidden_size = shape.hidden_size
        self._recorder = self._usable_recorder(cache_dtype)

    def captured(self, caches: list[torch.Tensor]) -> DecodeGraphs | None:
        """Of all sizes; None where every step runs eagerly. `caches` are bound and hold nothing, before and after."""
        graphs = self._graphs()
        if graphs is None:
            return None
        began, free = time.monotonic(), free_memory(self._place.device)
        graphs.capture(self._settings.graph_sizes, len(caches[0]))
        for cache in caches:
            cache[: self._settings.graph_sizes[-1]].zero_()
        if graphs.sizes:
            logger.info(
                "captured the decode steps of %d batch sizes up to %d in %.1f s and %.2f GiB",
                len(graphs.sizes), graphs.sizes[-1], time.monotonic() - began,
                (free - free_memory(self._place.device)) / 2**30,
            )  # fmt: skip
        return graphs

    def measured_bytes(self, num_blocks: int) -> int:
        """Of all sizes on a CUDA device, by the two largest: the first takes the memory that all share, and each some of
        its own. The cache has `num_blocks`, which are written to."""
        free = [free_memory(self._place.device)]
        graphs = self._graphs()
        if graphs is None:
            return 0
        sizes = self._settings.graph_sizes
        for size in sizes[:-3:-1]:
            graphs.capture([size], num_blocks)
            torch.cuda.empty_cache()
            free.append(free_memory(self._place.device))
        del graphs
        torch.cuda.empty_cache()
        taken = [max(0, before - after) for before, after in pairwise(free)]
        return taken[0] + taken[-1] * (len(sizes) - 1)

    def _usable_recorder(self, cache_dtype: torch.dtype) -> Recorder | None:
        recorder = recorder_for(self._place.device)
        if recorder is None or not self._settings.graph_sizes or isinstance(self._model, PooledModel):
            return None
        reason = eager_reason(self._model, self._settings, self._place, cache_dtype)
        if reason is not None:
            logger.info("every step runs eagerly, without CUDA graphs: %s", reason)
        return recorder if reason is None else None

    def _graphs(self) -> DecodeGraphs | None:
        """Not captured yet."""
        settings = self._settings
        if self._recorder is None:
            return None
        assert isinstance(self._model, CausalLM)
        blocks_of_row = -(-settings.max_model_len // settings.block_size)
        inputs = StaticInputs(
            self._model, settings.graph_sizes[-1], blocks_of_row, self._hidden_size, self._place
        )
        return DecodeGraphs(inputs, self._recorder, settings, self._place)
