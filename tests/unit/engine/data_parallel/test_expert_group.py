"""Ranks of all replicas find each other, through memory that they share or through sockets of the loopback."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from paddock.engine.config.serve import ServeConfig
from paddock.engine.data_parallel.replica_tie import opened_tie
from paddock.engine.distributed.expert_group import join_experts
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.distributed.topology import Topology

CPU = torch.device("cpu")


@pytest.mark.parametrize("through_sockets", [False, True])
def test_the_ranks_of_two_replicas_of_two_ranks_exchange_tokens(through_sockets):
    sizes = {"data_parallel_size": 2, "tensor_parallel_size": 2, "enable_expert_parallel": True}
    parallel = {**sizes, "disable_custom_all_reduce": through_sockets}

    def exchange(tie, number):
        replica, rank = divmod(number, 2)
        made = join_experts(Topology(2, share=NodeShare(replica, 2, tie)), rank, CPU)
        assert (made.rank, made.size) == (number, 4)
        made.begin(replica + 1, CPU)
        own = torch.full((replica + 1, 3), float(replica))
        heard, experts, _ = made.gather(own, own[:, :1].long(), own[:, :2])
        assert experts.tolist() == [[0], [1], [1]]
        return heard[:, 0].tolist(), made.sum_of_own(heard).tolist()

    with opened_tie(ServeConfig.model_validate({"parallel": parallel})) as tie, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: exchange(tie, number), range(4)))

    assert [heard for heard, _ in answers] == [[0.0, 1.0, 1.0]] * 4
    assert [own for _, own in answers] == [[[0.0] * 3]] * 2 + [[[4.0] * 3] * 2] * 2


def test_an_engine_whose_experts_are_its_own_joins_nobody():
    assert join_experts(Topology(2), 0, CPU) is None
