"""A rank's seat: its place among the others, and the ways through which it reaches them."""

import socket
from dataclasses import dataclass, field

import torch

from paddock.engine.distributed.pipeline import PipelineLink, ProcessGroupReceiver, ProcessGroupSender
from paddock.engine.distributed.stage_memory import HiddenReceiver, HiddenSender
from paddock.engine.distributed.tensor_group import TensorGroup
from paddock.engine.distributed.topology import Topology
from paddock.engine.layers.placement import ExpertPlacement, Placement


@dataclass(frozen=True)
class Seat:
    """Given to the worker. The default is that of a worker that is alone."""

    topology: Topology = field(default_factory=Topology)
    rank: int = 0
    tensor_group: TensorGroup | None = None
    previous: socket.socket | None = None
    """Towards the stage before, where both share memory; None where a process group leads there."""
    following: socket.socket | None = None
    """And towards the stage after."""

    @property
    def local_index(self) -> int:
        return self.topology.local_index(self.rank)

    @property
    def num_sharers(self) -> int:
        """See `Topology`."""
        return self.topology.num_sharers

    def placement(
        self, dtype: torch.dtype, device: torch.device, expert_placement: ExpertPlacement | None = None
    ) -> Placement:
        topology = self.topology
        return Placement(
            dtype,
            device,
            rank=topology.tensor_rank(self.rank),
            size=topology.tensor_parallel_size,
            group=self.tensor_group,
            expert_placement=expert_placement,
            stage=topology.stage(self.rank),
            num_stages=topology.pipeline_parallel_size,
        )

    def pipeline(self, hidden_size: int, most_tokens: int, place: Placement) -> PipelineLink:
        """The way from the stage before and to the next one, between ranks of the same tensor-parallel number.

        A step has `most_tokens` at most. Asked for once: it takes the ends of what is shared.
        """
        return PipelineLink(
            previous=None if place.is_first_stage else self._receiver(),
            following=None if place.is_last_stage else self._sender(hidden_size, most_tokens, place.dtype),
            hidden_size=hidden_size,
            dtype=place.dtype,
            device=place.device,
        )

    def _receiver(self) -> HiddenReceiver | ProcessGroupReceiver:
        if self.previous is None:
            return ProcessGroupReceiver(self.rank - self.topology.tensor_parallel_size)
        return HiddenReceiver(self.previous)

    def _sender(
        self, hidden_size: int, most_tokens: int, dtype: torch.dtype
    ) -> HiddenSender | ProcessGroupSender:
        """With a slot for each step under way, of which there are as many as stages, it never has to wait."""
        if self.following is None:
            return ProcessGroupSender(self.rank + self.topology.tensor_parallel_size)
        slot_bytes = most_tokens * hidden_size * dtype.itemsize
        return HiddenSender(self.following, self.topology.pipeline_parallel_size, slot_bytes)
