"""Replicas that share experts make equally many steps, and none when nobody has work."""

import os
import select
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.engine.config.serve import ServeConfig
from paddock.engine.data_parallel.lockstep import Lockstep
from paddock.engine.data_parallel.replica_tie import ReplicaTie, opened_tie
from paddock.engine.distributed.node_share import NodeShare


def config(replicas, **parallel):
    given = {"data_parallel_size": replicas, "enable_expert_parallel": True, **parallel}
    return ServeConfig.model_validate({"parallel": given})


CONFIGS = {replicas: config(replicas) for replicas in range(2, 6)}


@contextmanager
def in_step(replicas):
    with opened_tie(CONFIGS[replicas]) as tie:
        yield [Lockstep(tie, replica) for replica in range(replicas)]


def rings(lockstep):
    return bool(select.select([lockstep.bell], [], [], 0)[0])


def test_a_replica_that_begins_a_step_wakes_the_others_until_they_have_begun_it_too():
    with in_step(3) as (first, second, third):
        first.begin()
        assert (first.is_behind, second.is_behind, third.is_behind) == (False, True, True)
        assert (rings(first), rings(second), rings(third)) == (False, True, True)

        second.hear()
        assert second.is_behind
        assert not rings(second)
        second.begin()
        assert not second.is_behind
        assert third.is_behind


def test_a_bell_that_was_not_rung_may_be_heard():
    with in_step(2) as (first, _):
        first.hear()
        assert not first.is_behind


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=5), st.randoms(use_true_random=True))
def test_whoever_goes_first_all_make_as_many_steps_as_the_busiest_needs(work, random):
    with in_step(len(work)) as replicas:
        left = list(work)
        while any(left) or any(each.is_behind for each in replicas):
            number = random.randrange(len(work))
            if left[number] or replicas[number].is_behind:
                left[number] = max(0, left[number] - 1)
                replicas[number].begin()

        # One that is ahead of its own work makes the others no more steps than it has itself.
        assert max(work) <= replicas[0]._begun[0] <= sum(work)
        assert len(set(replicas[0]._begun)) == 1


def test_the_tie_reaches_a_process_through_its_environment():
    with opened_tie(config(2, pipeline_parallel_size=3)) as tie:
        share = NodeShare(1, 2, tie)

        assert NodeShare.of(share.as_environ()) == share
        assert len(set(share.descriptors)) == 2 + 2 + 3
    for descriptor in share.descriptors:
        assert not os.path.exists(f"/proc/self/fd/{descriptor}") or not is_of_a_tie(descriptor)


def is_of_a_tie(descriptor):
    return "paddock-" in os.readlink(f"/proc/self/fd/{descriptor}")


def test_replicas_that_share_nothing_are_not_tied():
    with opened_tie(config(2, enable_expert_parallel=False)) as tie:
        assert tie is None
    assert ReplicaTie.of(NodeShare(0, 2).as_environ()) is None


def test_experts_that_are_to_go_through_sockets_share_no_memory():
    with opened_tie(config(2, disable_custom_all_reduce=True)) as tie:
        assert tie.experts == ()
