"""Ranks are threads here: the kernels let go of the interpreter, and the memory is shared all the same."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from paddock.kernels import native
from paddock.kernels.collective import SharedMemoryRanks

pytestmark = pytest.mark.skipif(native.library is None, reason="there is no compiled module")

SIZES = [(1, 1), (1, 128), (3, 77), (40, 1024), (257, 1031)]
"""The last two take several turns."""


@pytest.fixture(params=[2, 3, 5])
def ranks(request):
    descriptor = os.memfd_create("test")
    yield [SharedMemoryRanks(descriptor, rank, request.param) for rank in range(request.param)]
    os.close(descriptor)


def on_all(ranks, run):
    with ThreadPoolExecutor(len(ranks)) as pool:
        return list(pool.map(run, ranks))


def inputs(ranks, size, dtype):
    random = torch.Generator().manual_seed(7)
    return [torch.randn(size, generator=random).to(dtype) for _ in ranks]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_rank_gets_the_sum_rounded_once(ranks, dtype):
    def reduce(rank):
        made = []
        for size in SIZES:
            x = inputs(ranks, size, dtype)[rank.rank]
            rank.all_reduce(x)
            made.append(x)
        return made

    found = on_all(ranks, reduce)

    for index, size in enumerate(SIZES):
        exact = sum(each.double() for each in inputs(ranks, size, dtype))
        torch.testing.assert_close(
            found[0][index].double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-5
        )
        assert all(torch.equal(other[index], found[0][index]) for other in found)


def test_rows_are_gathered_side_by_side(ranks):
    for size in SIZES:
        parts = inputs(ranks, size, torch.float32)

        found = on_all(ranks, lambda rank, parts=parts: rank.all_gather(parts[rank.rank]))

        assert all(torch.equal(each, torch.cat(parts, dim=1)) for each in found)


def test_turns_of_every_kind_follow_each_other_at_any_pace(ranks):
    """Were a slot written while it is read, some sum among thousands would show it."""

    def run(rank):
        for number in range(1500):
            total = torch.full((1 + number % 300,), float(number + rank.rank))
            rank.all_reduce(total)
            assert total.eq(len(ranks) * number + sum(range(len(ranks)))).all()
            told = torch.tensor([number if rank.rank == 0 else -1])
            rank.broadcast(told)
            assert told.item() == number
        return True

    assert all(on_all(ranks, run))


def test_a_rank_whose_peer_is_late_sleeps_until_it_comes(ranks):
    first, *others = ranks
    with ThreadPoolExecutor(len(ranks)) as pool:
        waiting = [pool.submit(rank.all_gather, torch.ones(1, 2)) for rank in others]
        assert not any(each.done() for each in waiting)

        found = first.all_gather(torch.ones(1, 2))

        assert all(torch.equal(each.result(10), found) for each in waiting)
