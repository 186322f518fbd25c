"""A rank's seat: its place among the others, and the process groups through which it reaches them."""

from dataclasses import dataclass, field

import torch

from paddock.engine.distributed.pipeline import PipelineLink
from paddock.engine.distributed.tensor_group import TensorGroup
from paddock.engine.distributed.topology import Topology
from paddock.engine.layers.placement import ExpertPlacement, Placement


@dataclass(frozen=True)
class Seat:
    """Given to the worker. The default is that of a worker that is alone."""

    topology: Topology = field(default_factory=Topology)
    rank: int = 0
    tensor_group: TensorGroup | None = None

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

    def pipeline(self, hidden_size: int, place: Placement) -> PipelineLink:
        """The way from the stage before and to the next one, between ranks of the same tensor-parallel number."""
        step = place.size
        return PipelineLink(
            previous=None if place.is_first_stage else self.rank - step,
            following=None if place.is_last_stage else self.rank + step,
            hidden_size=hidden_size,
            dtype=place.dtype,
            device=place.device,
        )
