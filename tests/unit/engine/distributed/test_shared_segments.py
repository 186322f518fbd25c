import os

import pytest

from paddock.engine.config.serve import ServeConfig
from paddock.engine.distributed.shared_segments import Inherited, SharedSegments
from paddock.engine.distributed.topology import Topology


def segments(**parallel):
    config = ServeConfig.model_validate({"parallel": parallel})
    return SharedSegments(config, Topology.of(config, {}))


def file_of(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}")


def test_the_peers_of_a_stage_share_one_segment_and_no_other():
    with segments(tensor_parallel_size=2, pipeline_parallel_size=2) as made:
        of_rank = [made.of(rank).segment for rank in range(4)]

        assert of_rank[0] == of_rank[1] != of_rank[2] == of_rank[3]


def test_each_rank_of_a_stage_has_a_way_to_its_own_peer_of_the_next():
    with segments(tensor_parallel_size=2, pipeline_parallel_size=3) as made:
        for rank in range(4):
            os.write(made.of(rank).following, b"%d" % rank)

        assert [os.read(made.of(rank).previous, 9) for rank in range(2, 6)] == [b"0", b"1", b"2", b"3"]
        assert (
            {made.of(rank).previous for rank in (0, 1)}
            == {made.of(rank).following for rank in (4, 5)}
            == {None}
        )


def test_a_segment_has_no_name_in_any_file_system_and_is_closed_where_it_was_made():
    with segments(tensor_parallel_size=2, pipeline_parallel_size=2) as made:
        descriptors = made.of(0).descriptors
        assert [file_of(each).split(":")[0] for each in descriptors] == ["/memfd", "socket"]
        assert file_of(descriptors[0]) == "/memfd:paddock-ranks-0-1 (deleted)"

    for descriptor in descriptors:
        with pytest.raises(OSError, match=str(descriptor)):
            file_of(descriptor)


@pytest.mark.parametrize(
    "parallel",
    [
        pytest.param(
            {"tensor_parallel_size": 2, "pipeline_parallel_size": 2, "disable_custom_all_reduce": True},
            id="switched off",
        ),
        pytest.param({}, id="alone"),
        pytest.param(
            {"tensor_parallel_size": 2, "nnodes": 2, "master_addr": "10.0.0.1"}, id="peers on two nodes"
        ),
        pytest.param(
            {"pipeline_parallel_size": 2, "nnodes": 2, "master_addr": "10.0.0.1"}, id="stages on two nodes"
        ),
    ],
)
def test_ranks_without_anybody_on_their_node_get_none(parallel):
    with segments(**parallel) as made:
        assert made.of(0) == Inherited()


def test_of_four_stages_on_two_nodes_the_two_in_the_middle_meet_over_the_network():
    parallel = {"pipeline_parallel_size": 4, "nnodes": 2, "master_addr": "10.0.0.1"}
    with segments(**parallel) as first, segments(**parallel, node_rank=1) as second:
        assert first.of(0).following is not None
        assert first.of(1).following is None
        assert second.of(2).previous is None
        assert second.of(3).previous is not None
