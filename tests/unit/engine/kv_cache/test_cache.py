"""Tables over the pool: asking changes nothing, and prefixes are found as far as they are full and computed."""

import pytest

from paddock.engine.kv_cache.block_table import BlockTable
from paddock.engine.kv_cache.cache import KVCache

PROMPT = list(range(10, 20))


@pytest.fixture
def cache() -> KVCache:
    return KVCache(num_blocks=8, block_size=4, prefix_caching=True)


def filled(cache: KVCache, token_ids: list[int], salt: str | None = None) -> BlockTable:
    """The table of a sequence that has been computed to its end."""
    table = cache.new_table(salt)
    cache.admit(table, cache.find_prefix(table, token_ids), len(token_ids))
    cache.register_full_blocks(table, token_ids, len(token_ids))
    return table


def test_a_sequence_gets_the_blocks_for_its_tokens_rounded_up(cache) -> None:
    table = filled(cache, PROMPT)

    assert (len(table.block_ids), table.capacity) == (3, 12)
    assert cache.usage == 3 / 8


def test_an_equal_prompt_finds_its_full_blocks(cache) -> None:
    table = filled(cache, PROMPT)

    assert cache.find_prefix(cache.new_table(), PROMPT) == table.block_ids[:2]


@pytest.mark.parametrize(("num_tokens", "num_blocks"), [(3, 0), (4, 0), (5, 1), (8, 1), (9, 2)])
def test_the_last_token_is_never_found_so_that_there_is_something_to_compute(
    cache, num_tokens, num_blocks
) -> None:
    filled(cache, PROMPT)

    assert len(cache.find_prefix(cache.new_table(), PROMPT[:num_tokens])) == num_blocks


def test_a_prefix_ends_at_the_first_block_that_is_not_there(cache) -> None:
    table = filled(cache, PROMPT)

    assert cache.find_prefix(cache.new_table(), PROMPT[:4] + [0] * 8) == table.block_ids[:1]


def test_a_released_prefix_is_found_again_and_shared(cache) -> None:
    first = filled(cache, PROMPT)
    blocks = first.block_ids[:2]
    cache.release(first)

    second = filled(cache, PROMPT)

    assert second.block_ids[:2] == blocks
    cache.check_integrity([second])


def test_sequences_of_different_salts_never_share(cache) -> None:
    filled(cache, PROMPT, salt="a")

    assert not cache.find_prefix(cache.new_table("b"), PROMPT)
    assert not cache.find_prefix(cache.new_table(), PROMPT)
    assert cache.find_prefix(cache.new_table("a"), PROMPT)


def test_cached_blocks_that_are_to_be_shared_do_not_count_as_room(cache) -> None:
    cache.release(filled(cache, list(range(16))))
    table = cache.new_table()
    prefix = cache.find_prefix(table, list(range(32)))
    assert len(prefix) == 4

    assert cache.fits(prefix, 32, spare=0)
    assert not cache.fits(prefix, 33, spare=0)
    assert not cache.fits(prefix, 32, spare=1)


def test_growth_is_by_whole_blocks_and_only_when_there_are_any(cache) -> None:
    table = filled(cache, PROMPT)

    assert cache.can_extend(table, 32)
    assert not cache.can_extend(table, 33)
    assert len(cache.extend(table, 13)) == 1
    assert table.capacity == 16


def test_without_prefix_caching_nothing_is_found_and_nothing_waits_to_be_registered() -> None:
    cache = KVCache(num_blocks=8, block_size=4, prefix_caching=False)
    table = cache.new_table()
    cache.admit(table, cache.find_prefix(table, PROMPT), len(PROMPT))

    assert table.next_full > 1 << 60
    cache.release(table)
    assert cache.reset_prefix_cache() == 0


def test_a_table_comes_back_after_a_release_with_its_hashes_still_right(cache) -> None:
    table = filled(cache, PROMPT)
    cache.release(table)
    tokens = [*PROMPT, 20, 21]

    cache.admit(table, cache.find_prefix(table, tokens), len(tokens))
    cache.register_full_blocks(table, tokens, len(tokens))

    assert len(cache.find_prefix(cache.new_table(), [*tokens, 0])) == 3
