"""Sizes that cannot work are refused before anything is loaded, with the values that would do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_shape import model_shape

from paddock.engine.config.serve import ServeConfig
from paddock.engine.distributed.loading_turns import LoadingTurns
from paddock.engine.distributed.sizes import size_problem
from paddock.engine.distributed.topology import Topology, stage_layers
from paddock.engine.models.fields import ConfigFields

SHAPE = model_shape(
    architecture="LlamaForCausalLM", hidden_size=96, intermediate_size=192, num_heads=12, num_kv_heads=4
)


def problem(headless=False, **parallel):
    config = ServeConfig.model_validate({"parallel": parallel, "service": {"headless": headless}})
    return size_problem(config, SHAPE)


@pytest.mark.parametrize(
    ("parallel", "text"),
    [
        (
            {"tensor_parallel_size": 5},
            "--tensor-parallel-size 5 does not divide the model's 12 attention heads; use 1, 2, 4 or 12.",
        ),
        ({"tensor_parallel_size": 6}, "neither divides the model's 4 KV heads nor is a multiple"),
        ({"pipeline_parallel_size": 4}, "--pipeline-parallel-size 4 is more than the model's 3 layers"),
        (
            {"tensor_parallel_size": 4, "nnodes": 3, "master_addr": "a"},
            "--nnodes 3 does not divide --tensor-parallel-size 4 x --pipeline-parallel-size 1 = 4 ranks; use 1, 2 or 4.",
        ),
        ({"tensor_parallel_size": 2, "nnodes": 2}, "--nnodes 2 needs --master-addr"),
        (
            {"tensor_parallel_size": 2, "distributed_executor_backend": "uni"},
            "--distributed-executor-backend uni runs one rank",
        ),
        (
            {"tensor_parallel_size": 2, "nnodes": 2, "node_rank": 1, "master_addr": "a"},
            "--node-rank 1 needs --headless",
        ),
        ({"headless": True}, "--headless needs --node-rank above 0"),
    ],
)
def test_what_cannot_work_is_said_with_what_could(parallel, text):
    assert text in problem(**parallel)


@pytest.mark.parametrize("size", [1, 2, 4, 12])
def test_sizes_that_the_heads_allow_are_fine(size):
    assert problem(tensor_parallel_size=size, pipeline_parallel_size=3) is None


@given(st.integers(1, 200), st.data(), st.floats(0, 50))
def test_stages_hold_every_layer_once_in_order_and_the_last_fewer_for_its_head(num_layers, data, head):
    num_stages = data.draw(st.integers(1, num_layers))

    stages = [stage_layers(num_layers, stage, num_stages, head) for stage in range(num_stages)]

    assert [layer for stage in stages for layer in stage] == list(range(num_layers))
    sizes = [len(stage) for stage in stages]
    assert max(sizes[:-1], default=0) - min(sizes[:-1], default=0) <= 1
    assert 1 <= sizes[-1] <= min(sizes)


@given(st.integers(2, 60), st.floats(0, 50))
def test_no_other_division_of_the_layers_makes_the_slowest_of_two_stages_faster(num_layers, head):
    first, second = (len(stage_layers(num_layers, stage, 2, head)) for stage in (0, 1))

    fastest = min(max(num_layers - last, last + head) for last in range(1, num_layers))
    assert max(first, second + head) == fastest


def test_layers_without_a_head_are_divided_evenly():
    assert [len(stage_layers(10, stage, 4)) for stage in range(4)] == [3, 3, 2, 2]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_every_rank_has_one_seat(tensor, pipeline, nodes):
    if tensor * pipeline % nodes:
        nodes = 1
    topology = Topology(tensor, pipeline, nodes)
    ranks = range(topology.world_size)

    assert [(topology.stage(r), topology.tensor_rank(r)) for r in ranks] == [
        (stage, peer) for stage in range(pipeline) for peer in range(tensor)
    ]
    assert sorted((topology.node_of(r), topology.local_index(r)) for r in ranks) == [
        (node, index) for node in range(nodes) for index in range(topology.ranks_per_node)
    ]
    assert topology.sampling_rank == topology.peers(pipeline - 1).start


@given(st.integers(1, 3), st.integers(1, 4), st.one_of(st.none(), st.integers(1, 5)), st.randoms())
def test_no_node_loads_more_ranks_at_once_than_it_may_and_all_get_their_turn(nodes, ranks, most, random):
    turns = LoadingTurns(Topology(nodes * ranks, 1, nodes), most)
    topology = Topology(nodes * ranks, 1, nodes)
    loading, done = list(turns.first()), []
    while turns.unfinished:
        per_node = [sum(topology.node_of(r) == node for r in loading) for node in range(nodes)]
        assert max(per_node) <= (most or ranks)
        finished = loading.pop(random.randrange(len(loading)))
        done.append(finished)
        loading += turns.after(finished)

    assert sorted(done) == list(range(nodes * ranks))


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a"}


@pytest.fixture
def launched(monkeypatch):
    def by(environ):
        for name in TORCHRUN:
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return by


def test_a_launcher_gives_each_command_its_rank_and_node(launched):
    launched(TORCHRUN)
    config = ServeConfig.model_validate(
        {"parallel": {"tensor_parallel_size": 4, "distributed_executor_backend": "external_launcher"}}
    )

    topology = Topology.of(config)

    assert (list(topology.local_ranks), topology.nnodes, topology.node_rank) == ([3], 2, 1)
    assert (topology.local_index(3), topology.ranks_per_node, topology.follows) == (1, 2, True)
    assert size_problem(config, SHAPE) is None


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({}, "needs RANK from the launcher"),
        ({**TORCHRUN, "WORLD_SIZE": "x"}, "needs WORLD_SIZE from the launcher, which is 'x'"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "3"}, "do not fit each other"),
        ({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "2"}, "the launcher starts 2 processes, and"),
        ({**TORCHRUN, "MASTER_ADDR": ""}, "needs MASTER_ADDR from the launcher"),
    ],
)
def test_a_launcher_that_says_too_little_or_something_else_is_named(launched, environ, text):
    launched(environ)

    assert text in problem(tensor_parallel_size=4, distributed_executor_backend="external_launcher")


def test_experts_can_be_shared_only_where_there_are_enough_of_them():
    config = ServeConfig.model_validate(
        {"parallel": {"tensor_parallel_size": 4, "enable_expert_parallel": True}}
    )
    fields = {"num_local_experts": 3}
    few = model_shape(architecture="MixtralForCausalLM", fields=ConfigFields(fields))

    assert "has none here; leave it out" in size_problem(config, SHAPE)
    assert (
        "3 experts among 4 ranks (--tensor-parallel-size x --data-parallel-size), and each needs one; make these 3 or"
        in size_problem(config, few)
    )
