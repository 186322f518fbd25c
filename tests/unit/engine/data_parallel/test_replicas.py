"""Which replicas a command runs and serves, and what cannot be."""

import pytest

from paddock.engine.config.serve import ServeConfig
from paddock.engine.data_parallel.replicas import Replicas, replica_problem
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.distributed.topology import Topology

SHARED = {"enable_expert_parallel": True, "data_parallel_address": "a"}
SPREAD = {"data_parallel_size": 4, "data_parallel_size_local": 2, "data_parallel_address": "a"}


def config(headless=False, frontend=None, **parallel):
    return ServeConfig.model_validate(
        {"parallel": parallel, "service": {"headless": headless}, "frontend": frontend or {}}
    )


@pytest.mark.parametrize(
    ("given", "local", "served", "spans_nodes"),
    [
        ({}, [0], [0], False),
        ({"data_parallel_size": 3}, [0, 1, 2], [0, 1, 2], False),
        (SPREAD, [0, 1], [0, 1, 2, 3], True),
        ({**SPREAD, "data_parallel_size_local": 0}, [], [0, 1, 2, 3], True),
        ({**SPREAD, "data_parallel_start_rank": 2, "headless": True}, [2, 3], [0, 1, 2, 3], True),
        (
            {
                "data_parallel_size": 4,
                "data_parallel_start_rank": 1,
                "data_parallel_address": "a",
                "headless": True,
            },
            [1, 2, 3],
            [0, 1, 2, 3],
            True,
        ),
        (
            {
                "data_parallel_size": 4,
                "data_parallel_size_local": 2,
                "data_parallel_start_rank": 2,
                "data_parallel_hybrid_lb": True,
            },
            [2, 3],
            [2, 3],
            False,
        ),
        ({"data_parallel_size": 4, "data_parallel_rank": 3}, [3], [3], False),
        ({"data_parallel_size": 4, "data_parallel_rank": 3, **SHARED}, [3], [3], True),
        (
            {**SPREAD, "data_parallel_start_rank": 2, "data_parallel_hybrid_lb": True, **SHARED},
            [2, 3],
            [2, 3],
            True,
        ),
    ],
)
def test_each_command_knows_its_replicas(given, local, served, spans_nodes):
    made = config(**given)

    replicas = Replicas.of(made)

    assert replica_problem(made) is None
    assert (list(replicas.local), list(replicas.served)) == (local, served)
    assert replicas.remote == set(replicas.together) - set(local)
    assert replicas.spans_nodes == spans_nodes


@pytest.mark.parametrize(
    ("given", "together", "leads"),
    [
        ({**SPREAD, "data_parallel_size_local": 0}, range(4), True),
        ({"data_parallel_size": 4, "data_parallel_rank": 3}, range(3, 4), False),
        ({"data_parallel_size": 4, "data_parallel_rank": 3, **SHARED}, range(4), False),
        ({"data_parallel_size": 4, "data_parallel_rank": 0, **SHARED}, range(4), True),
    ],
)
def test_the_command_with_the_first_replica_leads_those_that_need_each_other(given, together, leads):
    replicas = Replicas.of(config(**given))

    assert (replicas.together, replicas.leads) == (together, leads)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"data_parallel_size": 4, "data_parallel_size_local": 2}, "needs --data-parallel-address"),
        ({**SPREAD, "data_parallel_rpc_port": 0}, "--data-parallel-rpc-port 0 is no port"),
        ({**SPREAD, "data_parallel_start_rank": 2}, "--data-parallel-start-rank 2 needs --headless"),
        ({**SPREAD, "data_parallel_start_rank": 3, "headless": True}, "reach past the last rank, 3"),
        ({**SPREAD, "data_parallel_size_local": 0, "headless": True}, "leaves this node without work"),
        ({"data_parallel_size_local": 0}, "--data-parallel-size-local 0 needs --data-parallel-size above 1"),
        (
            {"data_parallel_size": 2, "data_parallel_rank": 1, "headless": True},
            "--headless does not go with --data-parallel-rank",
        ),
        ({"data_parallel_size": 2, "nnodes": 2}, "--nnodes 2 does not go with --data-parallel-size 2"),
        (
            {"data_parallel_size": 2, "distributed_executor_backend": "external_launcher"},
            "external_launcher starts one replica",
        ),
        (
            {"data_parallel_size": 2, "frontend": {"disable_frontend_multiprocessing": True}},
            "--disable-frontend-multiprocessing puts one engine",
        ),
        (
            {"data_parallel_size": 2, "headless": True, "enable_expert_parallel": True},
            "needs --data-parallel-address",
        ),
        (
            {"data_parallel_size": 2, "data_parallel_rank": 1, "enable_expert_parallel": True},
            "needs --data-parallel-address",
        ),
        (
            {"data_parallel_size": 2, "max_parallel_loading_workers": 1},
            "--max-parallel-loading-workers 1 does not go with 2 replicas",
        ),
    ],
)
def test_what_cannot_be_is_said(given, text):
    assert text in replica_problem(config(**given))


def test_engines_of_a_node_share_its_cores_and_divide_its_gpus():
    made = config(tensor_parallel_size=2)
    topologies = [Topology.of(made, NodeShare(index, 3).as_environ()) for index in range(3)]

    assert [each.local_index(rank) for each in topologies for rank in range(2)] == [0, 1, 2, 3, 4, 5]
    assert {each.num_sharers for each in topologies} == {6}
    assert Topology.of(made, {}).num_sharers == 2
