"""The books of swapped-out blocks, on numbers alone. Whole lives are tested by the state machine of the core."""

import pytest

from paddock.engine.kv_cache.block_pool import CacheIntegrityError
from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.kv_cache.swap_space import SwapSpace


def test_what_leaves_and_comes_back_between_two_plans_is_copied_in_that_order() -> None:
    space = SwapSpace(4)

    places = space.take([7, 3, 9])
    space.bring_back(places, [1, 2, 5], first=1)

    assert places == [0, 1, 2]
    assert space.take_copies() == ([(7, 0), (3, 1), (9, 2)], [(1, 2), (2, 5)])
    assert space.take_copies() == ([], [])
    assert (space.num_free, space.num_holders) == (4, 0)


def test_what_is_discarded_before_it_was_copied_is_not_copied() -> None:
    space = SwapSpace(4)
    given_up, kept = space.take([7, 3]), space.take([5])

    space.discard(given_up)
    again = space.take([8])

    assert space.take_copies() == ([(5, 2), (8, 0)], [])
    space.check_integrity([kept, again, []])


def test_a_place_that_is_in_nobodys_table_is_told_with_numbers() -> None:
    space = SwapSpace(4)
    space.take([7, 3])

    with pytest.raises(
        CacheIntegrityError, match=r"2 free places and 0 of 0 requests \(1 counted\) are not the 4"
    ):
        space.check_integrity([])


def test_a_sequence_is_swapped_out_only_where_all_of_it_fits_and_more_than_a_block_is_saved() -> None:
    cache = KVCache(8, 4, prefix_caching=False, num_swap_blocks=3)

    assert [cache.can_swap_out(tokens) for tokens in (4, 5, 12, 13)] == [False, True, True, False]
    assert not KVCache(8, 4, prefix_caching=False).can_swap_out(5)


def test_blocks_that_are_found_in_the_cache_are_not_copied_back() -> None:
    cache = KVCache(8, 4, prefix_caching=True, num_swap_blocks=8)
    table, tokens = cache.new_table(), list(range(14))
    cache.admit(table, [], 14)
    cache.register_full_blocks(table, tokens, 13)
    first_three = table.block_ids[:3]
    cache.swap_out(table, 13)
    cache.release(table)

    prefix = cache.find_prefix(table, tokens)
    assert (prefix, cache.num_kept(table, prefix)) == (first_three, 13)
    cache.admit(table, prefix, 14)

    leaving, coming = cache.swap_space.take_copies()
    assert len(leaving) == 4
    assert coming == [(3, table.block_ids[3])]
    cache.check_integrity([table])
