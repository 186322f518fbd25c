"""Host memory for the cache's blocks of preempted requests, and the copies there and back."""

from collections.abc import Iterator, Sequence

import torch

from paddock.engine.kv_cache.swap_space import BlockCopy

SEGMENT_BYTES = 64 << 20
"""Allocated at a time, when a place in it is used first: pinning memory is slow, and most engines never preempt."""

STAGED_BYTES = 16 << 20
"""Blocks on their way lie together on the device: one copy for a block and not one for each of its layers."""


class SwappedBlocks:
    """One worker's. Copies are made in the order of the device's stream, so nothing waits for them."""

    def __init__(self, caches: Sequence[torch.Tensor]) -> None:
        """`caches` are those of all layers, keys and values, `[num_blocks, num_kv_heads, block_size, head_dim]` each."""
        # Bytes: not every type of element can be gathered, and no copy may change one.
        self._caches = [cache.view(torch.uint8) for cache in caches]
        self._device = caches[0].device
        self._block_shape = (len(caches), *self._caches[0].shape[1:])
        block_bytes = sum(cache[0].numel() for cache in self._caches)
        self._per_segment = max(1, SEGMENT_BYTES // block_bytes)
        self._most_staged = max(1, STAGED_BYTES // block_bytes)
        self._segments: dict[int, torch.Tensor] = {}

    @property
    def allocated_bytes(self) -> int:
        return sum(segment.nbytes for segment in self._segments.values())

    def copy_out(self, copies: Sequence[BlockCopy]) -> None:
        """(block, place): from the cache."""
        for part in self._parts(copies):
            blocks = torch.tensor([block for block, _ in part], device=self._device)
            staged = torch.stack([cache.index_select(0, blocks) for cache in self._caches], dim=1)
            for content, (_, place) in zip(staged, part, strict=True):
                self._place(place).copy_(content, non_blocking=True)

    def copy_in(self, copies: Sequence[BlockCopy]) -> None:
        """(place, block): into the cache."""
        for part in self._parts(copies):
            blocks = torch.tensor([block for _, block in part], device=self._device)
            staged = torch.empty((len(part), *self._block_shape), dtype=torch.uint8, device=self._device)
            for content, (place, _) in zip(staged, part, strict=True):
                content.copy_(self._place(place), non_blocking=True)
            for layer, cache in enumerate(self._caches):
                cache.index_copy_(0, blocks, staged[:, layer])

    def _parts(self, copies: Sequence[BlockCopy]) -> Iterator[Sequence[BlockCopy]]:
        for first in range(0, len(copies), self._most_staged):
            yield copies[first : first + self._most_staged]

    def _place(self, place: int) -> torch.Tensor:
        """uint8 `[caches, num_kv_heads, block_size, bytes of a head]`, in host memory."""
        number, offset = divmod(place, self._per_segment)
        if number not in self._segments:
            self._segments[number] = torch.empty(
                (self._per_segment, *self._block_shape),
                dtype=torch.uint8,
                # What is pinned the device reads and writes by itself, beside its work.
                pin_memory=self._device.type == "cuda",
            )
        return self._segments[number][offset]
