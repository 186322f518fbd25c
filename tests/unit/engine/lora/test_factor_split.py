"""Adapters whose factors are both split over the ranks: two ranks in threads, joined by shared memory."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from paddock.engine.layers.linear import ColumnParallelLinear, RowParallelLinear, even_part
from paddock.engine.layers.placement import Placement
from paddock.engine.lora.factor_split import split_of
from paddock.engine.lora.linear import AdaptedLinear, LowRankUpdate, StepGroups
from paddock.kernels.collective import SharedMemoryRanks

INPUTS, OUTPUTS, TOKENS = 24, 38, 7
CHOSEN = torch.tensor([0, 3, 4])


def on_two_ranks(run):
    """`run(place)` on each, at once."""
    memory = os.memfd_create("adapters")
    peers = [SharedMemoryRanks(memory, rank, 2) for rank in range(2)]
    os.close(memory)
    places = [Placement(torch.float32, torch.device("cpu"), rank, 2, peers[rank]) for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, places))


def added(layer, x, down, up, place, tokens, *, fully):
    """What the adapter adds on this rank to a layer that gives zeros, and the numbers that it takes."""
    outputs = up.shape[0]
    split = split_of(layer, outputs, place, fully=fully)
    factors = split.cut(down, up)
    adapted = AdaptedLinear(lambda x: torch.zeros(len(x), outputs), StepGroups([(1, tokens)]))
    adapted.updates[1] = LowRankUpdate(*factors, split)
    return adapted(x), sum(factor.numel() for factor in factors)


@pytest.mark.parametrize("tokens", [None, CHOSEN], ids=["all tokens", "some tokens"])
@pytest.mark.parametrize("rank", [1, 4, 5], ids="rank {}".format)
@pytest.mark.parametrize("fully", [False, True], ids=["half", "fully"])
def test_the_ranks_together_add_the_product_of_the_whole_factors(tokens, rank, fully):
    torch.manual_seed(3)
    x, down, up = torch.randn(TOKENS, INPUTS), torch.randn(rank, INPUTS), torch.randn(OUTPUTS, rank)
    expected = torch.zeros(TOKENS, OUTPUTS)
    chosen = slice(None) if tokens is None else tokens
    expected[chosen] = x[chosen] @ down.T @ up.T

    def columns(place):
        part = even_part("proj", OUTPUTS, place, "features")
        layer = ColumnParallelLinear(INPUTS, [part], False, place)
        own = up[part.start : part.start + part.size]
        return added(layer, x, down, own, place, tokens, fully=fully)[0]

    def rows(place):
        layer = RowParallelLinear(INPUTS, OUTPUTS, False, place, "features")
        own = layer.columns
        return added(layer, x[:, own], down[:, own], up, place, tokens, fully=fully)[0]

    torch.testing.assert_close(torch.cat(on_two_ranks(columns), dim=1), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sum(on_two_ranks(rows)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("fully", "share"), [(False, OUTPUTS + INPUTS // 2), (True, (OUTPUTS + INPUTS) // 2)]
)
def test_a_rank_holds_its_share_of_both_factors(fully, share):
    def numbers(place):
        layer = RowParallelLinear(INPUTS, OUTPUTS, False, place, "features")
        down, up = torch.randn(4, INPUTS // 2), torch.randn(OUTPUTS, 4)
        return added(layer, torch.randn(TOKENS, INPUTS // 2), down, up, place, None, fully=fully)[1]

    assert on_two_ranks(numbers) == [4 * share] * 2
