"""Ranks of all replicas find each other, through memory that they share or through sockets of the loopback."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import torch

from paddock.engine.config.serve import ServeConfig
from paddock.engine.data_parallel.replica_tie import opened_tie
from paddock.engine.distributed.expert_group import join_experts
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.distributed.topology import Topology

CPU = torch.device("cpu")


def tied(stack, where):
    """The share that each of two replicas has of its node."""
    sizes = {"data_parallel_size": 2, "tensor_parallel_size": 2, "enable_expert_parallel": True}
    parallel = {**sizes, "disable_custom_all_reduce": where == "behind sockets"}
    config = ServeConfig.model_validate({"parallel": parallel})
    if where != "on two nodes":
        tie = stack.enter_context(opened_tie(config))
        return [NodeShare(replica, 2, tie) for replica in range(2)]
    first, second = (
        stack.enter_context(opened_tie(config, range(n, n + 1), f"127.0.0.{n + 2}")) for n in range(2)
    )
    return [NodeShare(0, 1, first), NodeShare(0, 1, second.meeting_at(first.store))]


@pytest.mark.parametrize("where", ["in shared memory", "behind sockets", "on two nodes"])
def test_the_ranks_of_two_replicas_of_two_ranks_exchange_tokens(where):
    def exchange(shares, number):
        replica, rank = divmod(number, 2)
        made = join_experts(Topology(2, share=shares[replica]), rank, CPU)
        assert (made.rank, made.size) == (number, 4)
        made.begin(replica + 1, CPU)
        own = torch.full((replica + 1, 3), float(replica))
        heard, experts, _ = made.gather(own, own[:, :1].long(), own[:, :2])
        assert experts.tolist() == [[0], [1], [1]]
        return heard[:, 0].tolist(), made.sum_of_own(heard).tolist()

    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        shares = tied(stack, where)
        answers = list(pool.map(lambda number: exchange(shares, number), range(4)))

    assert [heard for heard, _ in answers] == [[0.0, 1.0, 1.0]] * 4
    assert [own for _, own in answers] == [[[0.0] * 3]] * 2 + [[[4.0] * 3] * 2] * 2


def test_an_engine_whose_experts_are_its_own_joins_nobody():
    assert join_experts(Topology(2), 0, CPU) is None
