"""Decoder layers whose weights stay in host memory and come to the device as each is needed (`--cpu-offload-gb`).

Two buffers on the device take turns: while a layer computes out of one, the next such layer is copied into the other.
A layer's weights are views of its buffer, so nothing of its arithmetic knows of the copies.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

ALIGNMENT = 256
"""Bytes; where a weight may begin in a buffer."""

NUM_BUFFERS = 2


class Layer(Protocol):
    def modules(self) -> Iterator[nn.Module]: ...


def chosen_layers(layer_bytes: Sequence[int], budget: int) -> list[int]:
    """As many layers as fit `budget` bytes of host memory, spread evenly: the copy of one is hidden by all before it."""
    count = min(len(layer_bytes), budget // max(layer_bytes))
    return [number * len(layer_bytes) // count for number in range(count)]


class LayerStream:
    """Life: `hold` each layer before it is filled, `bring` it to the device to be packed, `take` it back, `begin`."""

    def __init__(self, layers: Collection[int], device: torch.device) -> None:
        """`layers` are indices among those of this stage."""
        self._chosen = frozenset(layers)
        self._device = device
        self._layers: list[nn.Module] = []
        self._content: list[torch.Tensor] = []
        self._arrived: list[Any] = [None] * NUM_BUFFERS
        self._held = [-1] * NUM_BUFFERS
        # torch leaves the constructor untyped.
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def hold(self, index: int, layer: Layer) -> None:
        if index in self._chosen:
            for owner, name, tensor in tensors_of(layer):
                setattr(owner, name, torch.empty_like(tensor, device="cpu"))

    def bring(self, index: int, layer: Layer) -> None:
        if index in self._chosen:
            for owner, name, tensor in tensors_of(layer):
                setattr(owner, name, tensor.to(self._device))

    def take(self, index: int, layer: Layer) -> None:
        """Its packed weights, one after the other, in memory that the device can read by itself."""
        if index not in self._chosen:
            return
        assert isinstance(layer, nn.Module)
        places = list(_laid_out(layer))
        size = max((end for *_, end in places), default=0)
        content = torch.empty(size, dtype=torch.uint8, pin_memory=self._copies is not None)
        for owner, name, tensor, start, end in places:
            part = content[start:end]
            part.copy_(tensor.contiguous().flatten().view(torch.uint8))
            setattr(owner, name, part.view(tensor.dtype).view(tensor.shape))
        self._layers.append(layer)
        self._content.append(content)

    def begin(self) -> None:
        """Once all layers are taken: from here on a call of a layer brings its weights."""
        largest = max(content.numel() for content in self._content)
        self._buffers = [
            torch.empty(largest, dtype=torch.uint8, device=self._device)
            for _ in range(min(NUM_BUFFERS, len(self._layers)))
        ]
        for index, layer in enumerate(self._layers):
            buffer = self._buffers[index % NUM_BUFFERS]
            for owner, name, tensor, start, end in list(_laid_out(layer)):
                setattr(owner, name, buffer[start:end].view(tensor.dtype).view(tensor.shape))
            layer.register_forward_pre_hook(partial(self._before, index))

    def _before(self, index: int, layer: nn.Module, inputs: Any) -> None:
        """What stands before a layer in the device's queue is done with the other buffer."""
        own = index % NUM_BUFFERS
        if self._held[own] != index:
            self._fetch(index)
        if self._copies is not None:
            torch.cuda.current_stream(self._device).wait_event(self._arrived[own])
        following = (index + 1) % len(self._layers)
        other = following % NUM_BUFFERS
        if other != own and self._held[other] != following:
            self._fetch(following)

    def _fetch(self, index: int) -> None:
        place, content = index % NUM_BUFFERS, self._content[index]
        self._held[place] = index
        target = self._buffers[place][: content.numel()]
        if self._copies is None:
            target.copy_(content)
            return
        self._copies.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._copies):
            target.copy_(content, non_blocking=True)
            self._arrived[place] = self._copies.record_event()


def tensors_of(layer: Layer) -> list[tuple[object, str, torch.Tensor]]:
    """Every weight of a layer, and whose attribute it is: a module's, or a packed form's."""
    return [found for module in layer.modules() for found in _attributes(module)]


def _attributes(owner: object) -> Iterator[tuple[object, str, torch.Tensor]]:
    for name, value in vars(owner).items():
        if isinstance(value, torch.Tensor):
            yield owner, name, value
        elif type(value).__module__.startswith("paddock.kernels.") and hasattr(value, "__dict__"):
            yield from _attributes(value)


def _laid_out(layer: Layer) -> Iterator[tuple[object, str, torch.Tensor, int, int]]:
    """With the bytes from and to which each weight lies."""
    end = 0
    for owner, name, tensor in tensors_of(layer):
        start = -(-end // ALIGNMENT) * ALIGNMENT
        end = start + tensor.nbytes
        yield owner, name, tensor, start, end
