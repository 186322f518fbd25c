"""Who may load its weights now (--max-parallel-loading-workers)."""

from collections import deque

from paddock.engine.distributed.topology import Topology


class LoadingTurns:
    """The ranks of a node take turns, since it is the node's memory and disk that are spared."""

    def __init__(self, topology: Topology, most_at_once: int | None) -> None:
        """None lets all load at once."""
        self._topology = topology
        self._most = most_at_once or topology.ranks_per_node
        self._waiting: dict[int, deque[int]] = {node: deque() for node in range(topology.nnodes)}
        for rank in range(topology.world_size):
            self._waiting[topology.node_of(rank)].append(rank)
        self._loading: set[int] = set()

    @property
    def unfinished(self) -> bool:
        return bool(self._loading or any(self._waiting.values()))

    def first(self) -> list[int]:
        """The ranks that begin."""
        return [rank for queue in self._waiting.values() for rank in self._next(queue, self._most)]

    def after(self, rank: int) -> list[int]:
        """The ranks that begin now that `rank` has loaded."""
        self._loading.discard(rank)
        return self._next(self._waiting[self._topology.node_of(rank)], 1)

    def _next(self, queue: deque[int], count: int) -> list[int]:
        chosen = [queue.popleft() for _ in range(min(count, len(queue)))]
        self._loading.update(chosen)
        return chosen
