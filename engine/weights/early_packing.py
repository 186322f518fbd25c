"""Linear layers that are packed one by one while a checkpoint is read.

A layer that packs into codes is smaller from then on, so that the plain model is never in memory as a whole.
"""

from collections import Counter
from collections.abc import Sequence
from threading import Lock

import torch

from paddock.engine.free_memory import return_free_memory
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.weights.linear_layers import linear_layers
from paddock.engine.weights.target import WeightTarget


class EarlyPacking:
    """Knows which layer each target is a part of. Threads may report to it."""

    def __init__(self, model: CausalLM, targets: Sequence[WeightTarget]) -> None:
        self._layers = {
            _storage(tensor): layer
            for layer in linear_layers(model)
            if layer.packs_into_codes
            for tensor in layer.tensors_to_fill()
        }
        self._left = Counter(
            self._layers[storage]
            for target in targets
            if (storage := _storage(target.destination)) in self._layers
        )
        self._lock = Lock()

    def finish(self) -> None:
        """Once all is read, before the head is packed: plain weights that were let go lie between codes."""
        if self._layers:
            return_free_memory()

    def filled(self, destination: torch.Tensor) -> None:
        """Say it of each target's destination once; the last of a layer packs it."""
        layer = self._layers.get(_storage(destination))
        if layer is None:
            return
        with self._lock:
            self._left[layer] -= 1
            ready = not self._left[layer]
        if ready:
            layer.pack()


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
