import os

import pytest

from paddock.engine.config.serve import ServeConfig
from paddock.engine.distributed.shared_segments import SharedSegments
from paddock.engine.distributed.topology import Topology


def segments(**parallel):
    config = ServeConfig.model_validate({"parallel": parallel})
    return SharedSegments(config, Topology.of(config, {}))


def file_of(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}")


def test_the_peers_of_a_stage_share_one_segment_and_no_other():
    with segments(tensor_parallel_size=2, pipeline_parallel_size=2) as made:
        of_rank = made.of_rank

        assert sorted(of_rank) == [0, 1, 2, 3]
        assert of_rank[0] == of_rank[1] != of_rank[2] == of_rank[3]


def test_a_segment_has_no_name_in_any_file_system_and_is_closed_where_it_was_made():
    with segments(tensor_parallel_size=2) as made:
        descriptor = made.of_rank[0]
        assert file_of(descriptor) == "/memfd:paddock-ranks-0-1 (deleted)"

    with pytest.raises(OSError, match=str(descriptor)):
        file_of(descriptor)


@pytest.mark.parametrize(
    "parallel",
    [
        pytest.param({"tensor_parallel_size": 2, "disable_custom_all_reduce": True}, id="switched off"),
        pytest.param({"pipeline_parallel_size": 2}, id="no tensor-parallel peers"),
        pytest.param({"tensor_parallel_size": 2, "nnodes": 2, "master_addr": "10.0.0.1"}, id="two nodes"),
    ],
)
def test_ranks_without_peers_on_their_node_get_none(parallel):
    with segments(**parallel) as made:
        assert not made.of_rank
