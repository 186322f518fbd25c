"""The rollout as exact steps, and as promises that hold for any sequence of edits and failures."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.operator.plan.rollout import Do, Group, Step, Wanted, next_steps


def group(
    index: int, revision: str = "new", *, ready: bool = True, broken: bool = False, pods: str | None = None
) -> Group:
    return Group(index, revision, frozenset({pods or revision}), ready, broken)


def steps(wanted: Wanted, *groups: Group) -> list[tuple[str, int]]:
    return [(step.do.value, step.index) for step in next_steps(wanted, groups)]


def test_nothing_live_creates_every_group() -> None:
    assert steps(Wanted(3, "new")) == [("create", 0), ("create", 1), ("create", 2)]


def test_a_settled_service_needs_no_step() -> None:
    assert steps(Wanted(2, "new"), group(0), group(1)) == []


def test_scaling_up_takes_the_lowest_free_index() -> None:
    assert steps(Wanted(3, "new"), group(0), group(2)) == [("create", 1)]


def test_an_index_whose_pods_still_stop_is_not_used() -> None:
    wanted = Wanted(2, "new", occupied=frozenset({1}))
    assert steps(wanted, group(0)) == [("create", 2)]


def test_scaling_down_takes_the_highest_index_of_equal_groups() -> None:
    assert steps(Wanted(1, "new"), group(0), group(1), group(2)) == [("remove", 2), ("remove", 1)]


def test_scaling_down_prefers_groups_that_do_not_serve() -> None:
    assert steps(Wanted(2, "new"), group(0, ready=False), group(1), group(2)) == [("remove", 0)]


def test_zero_replicas_remove_all_whatever_the_surge() -> None:
    assert steps(Wanted(0, "new", max_surge=2), group(0), group(1)) == [("remove", 1), ("remove", 0)]


def test_without_surge_one_group_at_a_time_is_replaced() -> None:
    wanted = Wanted(2, "new")
    assert steps(wanted, group(0, "old"), group(1, "old")) == [("update", 0)]
    assert steps(wanted, group(0, "new", pods="old"), group(1, "old")) == [("restart", 0)]
    assert steps(wanted, group(0, ready=False), group(1, "old")) == []
    assert steps(wanted, group(0), group(1, "old")) == [("update", 1)]


def test_a_surge_group_comes_first_and_is_given_back_last() -> None:
    wanted = Wanted(2, "new", max_surge=1, max_unavailable=0)
    assert steps(wanted, group(0, "old"), group(1, "old")) == [("create", 2)]
    assert steps(wanted, group(0, "old"), group(1, "old"), group(2, ready=False)) == []
    assert steps(wanted, group(0, "old"), group(1, "old"), group(2)) == [("update", 0)]
    assert steps(wanted, group(0), group(1, "old"), group(2)) == [("update", 1)]
    assert steps(wanted, group(0), group(1, ready=False), group(2)) == []
    assert steps(wanted, group(0), group(1), group(2)) == [("remove", 2)]


def test_broken_old_groups_do_not_block_their_own_repair() -> None:
    wanted = Wanted(3, "new", max_unavailable=1)
    broken = [group(i, "old", ready=False, broken=True) for i in range(3)]
    assert steps(wanted, *broken) == [("update", 0), ("update", 1), ("update", 2)]


def test_a_blip_of_all_old_groups_moves_only_one_to_an_unproven_revision() -> None:
    wanted = Wanted(3, "new")
    assert steps(wanted, *(group(i, "old", ready=False) for i in range(3))) == [("update", 0)]


def test_a_broken_new_group_stops_the_rollout() -> None:
    assert steps(Wanted(2, "new"), group(0, ready=False, broken=True), group(1, "old")) == []


def test_a_revert_repairs_the_broken_new_group_at_once() -> None:
    assert steps(Wanted(2, "old"), group(0, "new", ready=False, broken=True), group(1, "old")) == [
        ("update", 0)
    ]


def test_a_revert_before_the_pods_went_costs_nothing() -> None:
    assert steps(Wanted(2, "old"), group(0, "new", pods="old"), group(1, "old")) == [("update", 0)]


def test_a_second_edit_takes_the_group_in_flight_first() -> None:
    wanted = Wanted(2, "newer")
    assert steps(wanted, group(0, "new", ready=False), group(1, "old")) == [("update", 0)]


def test_a_revert_gives_a_broken_surge_group_back_instead_of_repairing_it() -> None:
    wanted = Wanted(2, "old", max_surge=1, max_unavailable=0)
    assert steps(wanted, group(0, "old"), group(1, "old"), group(2, "new", ready=False, broken=True)) == [
        ("remove", 2)
    ]


def test_an_outdated_surge_group_that_never_serves_does_not_block_the_rollout() -> None:
    wanted = Wanted(1, "new", max_surge=1, max_unavailable=0)
    assert steps(wanted, group(0, "old"), group(1, "old", ready=False)) == [("update", 1)]
    assert steps(wanted, group(0, "old"), group(1)) == [("update", 0)]


def test_scaling_and_updating_together_stays_inside_the_budget() -> None:
    assert steps(Wanted(3, "new"), group(0, "old"), group(1, "old")) == [("create", 2)]
    assert steps(Wanted(1, "new"), group(0, "old"), group(1, "old")) == [("remove", 1), ("update", 0)]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Wanted, list[Group]]:
    surge = draw(st.integers(0, 2))
    wanted = Wanted(
        replicas=draw(st.integers(0, 5)),
        revision=draw(st.sampled_from("abc")),
        max_surge=surge,
        max_unavailable=draw(st.integers(0 if surge else 1, 3)),
    )
    indices = draw(st.sets(st.integers(0, 7), max_size=6))
    return wanted, [draw(groups(index)) for index in sorted(indices)]


@st.composite
def groups(draw: st.DrawFn, index: int) -> Group:
    pods = draw(st.sets(st.sampled_from("abc"), max_size=1))
    ready = bool(pods) and draw(st.booleans())
    return Group(
        index, draw(st.sampled_from("abc")), frozenset(pods), ready, not ready and draw(st.booleans())
    )


def play(wanted: Wanted, live: list[Group], taken: list[Step]) -> list[Group]:
    """The cluster after `taken`: pods that were replaced are not ready yet."""
    after = {g.index: g for g in live}
    for step in taken:
        match step.do:
            case Do.CREATE:
                assert step.index not in after
                after[step.index] = Group(step.index, wanted.revision, frozenset({wanted.revision}), False)
            case Do.UPDATE:
                after[step.index] = dataclasses.replace(after[step.index], revision=wanted.revision)
            case Do.RESTART:
                g = after[step.index]
                after[step.index] = Group(step.index, g.revision, frozenset({g.revision}), False)
            case Do.REMOVE:
                del after[step.index]
    return [after[index] for index in sorted(after)]


def serving(live: list[Group], wanted: Wanted) -> int:
    return sum(g.available and not (g.revision == wanted.revision and g.has_stale_pods) for g in live)


@settings(max_examples=200)
@given(clusters())
def test_no_group_is_touched_twice_and_no_step_breaks_the_budget(cluster: tuple[Wanted, list[Group]]) -> None:
    wanted, live = cluster
    taken = next_steps(wanted, live)
    assert len({step.index for step in taken}) == len(taken)
    after = play(wanted, live, taken)
    least = min(serving(live, wanted), max(0, wanted.replicas - wanted.max_unavailable))
    assert serving(after, wanted) >= least
    assert len(after) <= max(len(live), wanted.replicas + wanted.max_surge)


def became_ready(group: Group) -> Group:
    return dataclasses.replace(group, available=True, broken=False, pod_revisions=frozenset({group.revision}))


@settings(max_examples=200)
@given(clusters())
def test_every_cluster_converges_when_new_pods_become_ready(cluster: tuple[Wanted, list[Group]]) -> None:
    wanted, live = cluster
    for _ in range(60):
        before = live
        live = play(wanted, live, next_steps(wanted, live))
        # Every pod of the wanted revision becomes ready in the end; pods of old revisions may never.
        live = [
            became_ready(g) if g.revision == wanted.revision and not g.has_stale_pods else g for g in live
        ]
        if live == before:
            break
    assert len(live) == wanted.replicas
    assert all(g.revision == wanted.revision and g.available for g in live)


@pytest.mark.parametrize("surge", [0, 1, 2])
def test_a_whole_rollout_never_exceeds_replicas_plus_surge(surge: int) -> None:
    wanted = Wanted(4, "b", max_surge=surge, max_unavailable=0 if surge else 1)
    live = [group(i, "a") for i in range(4)]
    for _ in range(40):
        live = play(wanted, live, next_steps(wanted, live))
        assert len(live) <= 4 + surge
        assert serving(live, wanted) >= 4 - wanted.max_unavailable
        late = next((g for g in live if not g.available and not g.has_stale_pods), None)
        live = [dataclasses.replace(g, available=True) if g is late else g for g in live]
    assert [g.index for g in live] == [0, 1, 2, 3]
    assert all(g.revision == "b" for g in live)
