import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.engine.layers.expert_share import ExpertShare
from paddock.engine.layers.placement import Placement

CPU = torch.device("cpu")


def shares(num_experts, ranks, placement):
    places = [Placement(torch.float32, CPU, rank, ranks, expert_placement=placement) for rank in range(ranks)]
    return [ExpertShare.of(num_experts, 64, place) for place in places]


@given(st.integers(1, 40), st.integers(1, 8), st.sampled_from(["linear", "round_robin"]))
def test_every_expert_is_whole_on_one_rank_and_no_rank_has_two_more_than_another(experts, ranks, placement):
    made = shares(experts, ranks, placement)

    assert sorted(number for share in made for number in share.experts) == list(range(experts))
    counts = [len(share.experts) for share in made]
    assert max(counts) - min(counts) <= 1
    assert all(share.width == 64 and share.is_whole for share in made)


@given(st.integers(1, 40), st.integers(1, 8), st.sampled_from(["linear", "round_robin"]))
def test_runs_fill_every_slot_with_its_expert(experts, ranks, placement):
    for share in shares(experts, ranks, placement):
        filled = [number for _, run in share.runs() for number in range(run.start, run.stop)]
        slots = [slot for run, _ in share.runs() for slot in range(run.start, run.stop)]

        assert filled == list(share.experts)
        assert slots == list(range(len(filled)))


def test_linear_gives_neighbours_and_round_robin_takes_turns():
    assert [list(share.experts) for share in shares(5, 2, "linear")] == [[0, 1, 2], [3, 4]]
    assert [list(share.experts) for share in shares(5, 2, "round_robin")] == [[0, 2, 4], [1, 3]]


def test_without_expert_parallelism_each_rank_has_a_slice_of_every_expert():
    first, second = shares(3, 2, None)

    assert (list(first.experts), first.features) == ([0, 1, 2], slice(0, 32))
    assert (list(second.experts), second.features) == ([0, 1, 2], slice(32, 64))
    assert first.slots(CPU) is None
    with pytest.raises(ValueError, match="does not divide"):
        shares(3, 5, None)
