"""Which rank does what, and on which node it runs. Torch-free."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paddock.engine.distributed.launcher import Launched
from paddock.engine.distributed.node_share import NodeShare

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


@dataclass(frozen=True, slots=True)
class Topology:
    """Ranks are numbered stage by stage, and node by node: tensor-parallel peers are neighbours."""

    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    nnodes: int = 1
    node_rank: int = 0
    launched_rank: int | None = None
    """The only rank that this command runs, where an outside launcher starts one command for each."""

    master_addr: str | None = None
    """The leader's address, where commands meet over a network."""

    share: NodeShare = field(default_factory=NodeShare)
    """This engine among those on the node."""

    @staticmethod
    def of(config: "ServeConfig", environ: Mapping[str, str] = os.environ) -> "Topology":
        """The sizes as they are given; `size_problem` says whether they make sense.

        Raises `ValueError` when an outside launcher is announced and has not said what it must.
        """
        parallel = config.parallel
        sizes = parallel.tensor_parallel_size, parallel.pipeline_parallel_size
        if parallel.distributed_executor_backend != "external_launcher":
            share = NodeShare.of(environ)
            return Topology(*sizes, parallel.nnodes, parallel.node_rank, None, parallel.master_addr, share)
        launched = Launched.read(environ)
        node = launched.rank // launched.local_world_size
        nnodes = launched.world_size // launched.local_world_size
        return Topology(*sizes, nnodes, node, launched.rank, launched.master_addr)

    @property
    def meets_over_network(self) -> bool:
        """Whether several commands make up the group, rather than one that starts every rank."""
        return self.nnodes > 1 or (self.launched_rank is not None and self.world_size > 1)

    @property
    def follows(self) -> bool:
        """Whether this command's ranks are led by another's."""
        return self.node_rank > 0 or bool(self.launched_rank)

    @property
    def member_number(self) -> int:
        """Of this command among those that make up the group."""
        return self.node_rank if self.launched_rank is None else self.launched_rank

    @property
    def world_size(self) -> int:
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def ranks_per_node(self) -> int:
        return self.world_size // self.nnodes

    @property
    def local_ranks(self) -> range:
        """The ranks that this command runs."""
        if self.launched_rank is not None:
            return range(self.launched_rank, self.launched_rank + 1)
        first = self.node_rank * self.ranks_per_node
        return range(first, first + self.ranks_per_node)

    @property
    def sampling_rank(self) -> int:
        """The rank that chooses the tokens: the first of the last stage."""
        return (self.pipeline_parallel_size - 1) * self.tensor_parallel_size

    def node_of(self, rank: int) -> int:
        return rank // self.ranks_per_node

    def local_index(self, rank: int) -> int:
        """The rank's place on its node, which is also the number of its GPU there."""
        return self.share.index * self.ranks_per_node + rank % self.ranks_per_node

    @property
    def num_sharers(self) -> int:
        """Ranks on a node, those of its other engines included: they share its cores and its memory."""
        return self.share.count * self.ranks_per_node

    @property
    def stages_keep_to_nodes(self) -> bool:
        """Whether tensor-parallel peers are always on one node."""
        return self.ranks_per_node % self.tensor_parallel_size == 0

    def tensor_rank(self, rank: int) -> int:
        return rank % self.tensor_parallel_size

    def stage(self, rank: int) -> int:
        return rank // self.tensor_parallel_size

    def peers(self, stage: int) -> range:
        """The tensor-parallel ranks of one stage."""
        first = stage * self.tensor_parallel_size
        return range(first, first + self.tensor_parallel_size)


def stage_layers(num_layers: int, stage: int, num_stages: int, head_layers: float = 0.0) -> range:
    """The layers of one stage, so that no stage has more to do than it must; what does not divide goes to the first.

    The last stage has the head to compute as well, which is as much work as `head_layers`.
    """
    if num_stages == 1:
        return range(num_layers)
    others = num_stages - 1

    def slowest(last: int) -> float:
        return max(-(-(num_layers - last) // others), last + head_layers)

    last = min(range(num_layers // num_stages, 0, -1), key=slowest)
    if stage == others:
        return range(num_layers - last, num_layers)
    share, rest = divmod(num_layers - last, others)
    first = stage * share + min(stage, rest)
    return range(first, first + share + (stage < rest))
