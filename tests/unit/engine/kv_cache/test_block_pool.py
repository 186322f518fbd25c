"""The pool against a model of it that is too simple to be wrong."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paddock.engine.kv_cache.block_pool import BlockPool, CacheIntegrityError

NUM_BLOCKS = 8
NAMES = [bytes([number]) for number in range(6)]


def test_a_new_pool_is_all_free() -> None:
    pool = BlockPool(5)

    assert (pool.num_free, pool.num_cached, pool.num_used) == (5, 0, 0)
    assert sorted(pool.take(5)) == [0, 1, 2, 3, 4]


def test_a_released_block_with_a_name_is_found_until_its_place_is_needed() -> None:
    pool = BlockPool(2)
    [block] = pool.take(1)
    pool.register(block, b"name")
    pool.release([block])
    assert pool.find(b"name") == block

    pool.take(2)

    assert pool.find(b"name") is None


def test_free_blocks_are_taken_before_cached_ones() -> None:
    pool = BlockPool(3)
    [block] = pool.take(1)
    pool.register(block, b"name")
    pool.release([block])

    assert block not in pool.take(2)


def test_the_block_unused_for_longest_is_evicted_first() -> None:
    pool = BlockPool(3)
    blocks = pool.take(3)
    for block, name in zip(blocks, NAMES, strict=False):
        pool.register(block, name)
        pool.release([block])
    pool.share([blocks[0]])
    pool.release([blocks[0]])

    assert pool.take(2) == [blocks[1], blocks[2]]


def test_the_end_of_a_sequence_is_evicted_before_its_beginning() -> None:
    pool = BlockPool(3)
    table = pool.take(3)
    for block, name in zip(table, NAMES, strict=False):
        pool.register(block, name)
    pool.release(table)

    assert pool.take(3) == table[::-1]


def test_a_second_block_with_the_same_content_stays_without_a_name() -> None:
    pool = BlockPool(2)
    first, second = pool.take(2)
    pool.register(first, b"name")
    pool.register(second, b"name")

    pool.release([first, second])

    assert (pool.num_free, pool.num_cached) == (1, 1)
    assert pool.find(b"name") == first


def test_forgetting_leaves_blocks_in_use_findable() -> None:
    pool = BlockPool(2)
    used, cached = pool.take(2)
    pool.register(used, b"used")
    pool.register(cached, b"cached")
    pool.release([cached])

    assert pool.forget_cached() == 1
    assert pool.find(b"used") == used
    assert pool.find(b"cached") is None
    pool.check_integrity([[used]])


def test_a_double_release_is_an_error() -> None:
    pool = BlockPool(1)
    block = pool.take(1)
    pool.release(block)

    with pytest.raises(CacheIntegrityError, match="released more often"):
        pool.release(block)


def test_taking_more_than_there_is_is_an_error_that_takes_nothing() -> None:
    pool = BlockPool(2)

    with pytest.raises(CacheIntegrityError, match="3 blocks asked for, 2 available"):
        pool.take(3)

    assert pool.num_free == 2


def test_a_leak_is_reported_with_the_numbers() -> None:
    pool = BlockPool(4)
    pool.take(1)

    with pytest.raises(CacheIntegrityError, match="3 free \\+ 0 cached \\+ 0 used is not the total of 4"):
        pool.check_integrity([])


def test_a_block_in_more_tables_than_it_counts_is_reported() -> None:
    pool = BlockPool(4)
    [block] = pool.take(1)

    with pytest.raises(CacheIntegrityError, match=f"block {block} is in 2 tables but counts 1"):
        pool.check_integrity([[block], [block]])


class PoolMachine(RuleBasedStateMachine):
    """Tables are lists of blocks; `names` is who was given which name while a reader held it."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS)
        self.tables: list[list[int]] = []

    def used(self) -> set[int]:
        return {block for table in self.tables for block in table}

    @rule(count=st.integers(1, NUM_BLOCKS))
    def take(self, count: int) -> None:
        if count <= self.pool.num_available:
            used = self.used()
            table = self.pool.take(count)
            assert len(set(table)) == count
            assert not used & set(table)
            self.tables.append(table)

    @rule(data=st.data())
    @precondition(lambda self: self.tables)
    def release(self, data) -> None:
        table = self.tables.pop(data.draw(st.integers(0, len(self.tables) - 1)))
        self.pool.release(table)

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    @precondition(lambda self: self.tables)
    def register(self, data, name) -> None:
        block = data.draw(st.sampled_from(sorted(self.used())))
        taken = self.pool.find(name)
        self.pool.register(block, name)
        assert taken is None or self.pool.find(name) == taken

    @rule(name=st.sampled_from(NAMES))
    def share(self, name) -> None:
        block = self.pool.find(name)
        if block is not None:
            available, held = self.pool.num_available, block in self.used()
            assert self.pool.count_cached([block]) == (not held)
            self.pool.share([block])
            assert self.pool.num_available == available - (not held)
            self.tables.append([block])

    @rule()
    def forget(self) -> None:
        self.pool.forget_cached()
        assert self.pool.num_cached == 0

    @invariant()
    def books_add_up(self) -> None:
        self.pool.check_integrity(self.tables)
        assert self.pool.num_used == len(self.used())


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
