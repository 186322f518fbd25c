"""Which data-parallel replicas there are, and which of them this command runs and serves. Torch-free."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paddock.engine.data_parallel.replica_tie import shares_experts

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

DEFAULT_PORT = 29550


@dataclass(frozen=True, slots=True)
class Replicas:
    """Replicas are numbered over all nodes by their data-parallel rank; each is a whole engine."""

    local: range
    """Run by this command."""

    served: range
    """Behind the API of this command, or of that which leads it."""

    together: range
    """Those that serve or fail together."""

    spans_nodes: bool
    """Whether nodes meet: one serves the API for replicas that others run, or experts are shared over them."""

    @staticmethod
    def of(config: "ServeConfig") -> "Replicas":
        """As the arguments say; `replica_problem` tells whether they make sense."""
        parallel = config.parallel
        size, rank = parallel.data_parallel_size, parallel.data_parallel_rank
        first, count = parallel.data_parallel_start_rank or 0, parallel.data_parallel_size_local
        local = range(first, size if count is None else first + count)
        if rank is not None:
            local = range(rank, rank + 1)
        if rank is not None or parallel.data_parallel_hybrid_lb:
            together = range(size) if shares_experts(config) else local
            return Replicas(local, local, together, spans_nodes=len(local) < len(together))
        follows = config.service.headless and size > 1
        return Replicas(local, range(size), range(size), spans_nodes=follows or len(local) < size)

    @property
    def remote(self) -> frozenset[int]:
        """Run by other nodes, which meet this one."""
        return frozenset(self.together) - frozenset(self.local)

    @property
    def leads(self) -> bool:
        """Whether a command with an API is the one that other nodes join: that with the first replica, if any has it."""
        return self.local.start == 0


def meeting_place(config: "ServeConfig") -> tuple[str, int]:
    """Host and port at which nodes of replicas join the one that leads; see `replica_problem`."""
    parallel = config.parallel
    assert parallel.data_parallel_address is not None, "checked with the replicas"
    return parallel.data_parallel_address, parallel.data_parallel_rpc_port or DEFAULT_PORT


def replica_problem(config: "ServeConfig") -> str | None:
    """The first thing that is wrong with the sizes and places of replicas, and what would do; None when nothing is."""
    return next(_problems(config, Replicas.of(config)), None)


def _problems(config: "ServeConfig", replicas: Replicas) -> Iterator[str]:
    yield from _place_problems(config, replicas)
    if config.parallel.data_parallel_size == 1:
        if not replicas.local:
            yield "--data-parallel-size-local 0 needs --data-parallel-size above 1: this node must run the only replica."
        return
    yield from _combination_problems(config, replicas)
    if replicas.spans_nodes:
        yield from _meeting_problems(config)


def _place_problems(config: "ServeConfig", replicas: Replicas) -> Iterator[str]:
    parallel, headless = config.parallel, config.service.headless
    first, last = parallel.data_parallel_start_rank, parallel.data_parallel_size - 1
    if parallel.data_parallel_rank is not None:
        for flag, is_given in (
            ("--data-parallel-start-rank", first is not None),
            ("--data-parallel-hybrid-lb", parallel.data_parallel_hybrid_lb),
            ("--headless", headless and parallel.nnodes == 1),
        ):
            if is_given:
                yield f"{flag} does not go with --data-parallel-rank: this command serves that one replica."
        return
    if first is not None and (first > last or replicas.local.stop - 1 > last):
        yield (
            f"--data-parallel-start-rank {first} and --data-parallel-size-local {len(replicas.local)} reach past the "
            f"last rank, {last}, of --data-parallel-size {parallel.data_parallel_size}."
        )
    if first and not headless and not parallel.data_parallel_hybrid_lb:
        yield (
            f"--data-parallel-start-rank {first} needs --headless, for replicas that another node serves, or "
            "--data-parallel-hybrid-lb: a node that serves the API for all runs the first ones."
        )
    if not replicas.local and (headless or parallel.data_parallel_hybrid_lb):
        yield "--data-parallel-size-local 0 leaves this node without work: it has no API to serve."


def _combination_problems(config: "ServeConfig", replicas: Replicas) -> Iterator[str]:
    parallel, size = config.parallel, config.parallel.data_parallel_size
    if parallel.nnodes > 1:
        yield (
            f"--nnodes {parallel.nnodes} does not go with --data-parallel-size {size}: a replica stays on one node. "
            "Use smaller replicas, or serve larger ones side by side with a balancer in front."
        )
    if parallel.distributed_executor_backend == "external_launcher":
        yield f"--distributed-executor-backend external_launcher starts one replica, and --data-parallel-size is {size}."
    several = len(replicas.local) > 1
    if config.frontend.disable_frontend_multiprocessing and (several or replicas.spans_nodes):
        yield (
            f"--disable-frontend-multiprocessing puts one engine into the server's process, and --data-parallel-size "
            f"{size} asks for more."
        )
    if parallel.max_parallel_loading_workers is not None and several:
        yield (
            f"--max-parallel-loading-workers {parallel.max_parallel_loading_workers} does not go with "
            f"{len(replicas.local)} replicas on a node, which load at the same time."
        )


def _meeting_problems(config: "ServeConfig") -> Iterator[str]:
    parallel = config.parallel
    if parallel.data_parallel_address is None:
        yield (
            f"--data-parallel-size {parallel.data_parallel_size} over several nodes needs --data-parallel-address: that "
            "of the node which serves the API, or has replica 0 where each serves its own."
        )
    if parallel.data_parallel_rpc_port == 0:
        yield "--data-parallel-rpc-port 0 is no port that other nodes could find; give one from 1 to 65535."
