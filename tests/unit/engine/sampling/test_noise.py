"""Noise is a function of (seed, position, token), uniform enough to draw with, and equal however it is asked for."""

import numpy as np
import torch

from paddock.engine.sampling.noise import noise_keys
from paddock.kernels.draw import gumbel


def keys(seeds, positions):
    made = noise_keys(np.array(seeds, np.uint64), np.array(positions, np.int64))
    return torch.from_numpy(made)


def test_noise_of_a_token_does_not_depend_on_the_other_tokens_asked_for():
    key = keys([7], [3])
    everything = gumbel(torch.arange(1000, dtype=torch.int32), key)

    some = gumbel(torch.tensor([[17, 999, 3]], dtype=torch.int32), key)

    assert torch.equal(some[0], everything[0, [17, 999, 3]])


def test_noise_of_a_row_does_not_depend_on_the_other_rows():
    ids = torch.arange(50, dtype=torch.int32)

    together = gumbel(ids, keys([1, 2, 3], [9, 9, 9]))

    assert torch.equal(together[1], gumbel(ids, keys([2], [9]))[0])


def test_neighbouring_seeds_positions_and_tokens_are_uncorrelated():
    ids = torch.arange(4096, dtype=torch.int32)
    noise = gumbel(ids, keys([0, 0, 1, 1, 2**63, 2**64 - 1], [0, 1, 0, 1, 0, 0]))

    correlation = torch.corrcoef(noise) - torch.eye(6)
    neighbours = torch.corrcoef(torch.stack([noise[0, :-1], noise[0, 1:]]))[0, 1]

    # Deviation of a correlation of 4,096 independent pairs: 1 / 64.
    assert correlation.abs().max() < 5 / 64
    assert neighbours.abs() < 5 / 64


def test_noise_has_the_gumbel_distribution():
    noise = gumbel(torch.arange(200_000, dtype=torch.int32), keys([5], [11]))[0]

    levels = torch.linspace(0.01, 0.99, 99)
    measured = torch.quantile(noise, levels)
    expected = -(-levels.log()).log()

    # Kolmogorov-Smirnov: the share below each expected quantile is the level itself.
    below = torch.stack([(noise < e).float().mean() for e in expected])
    assert (below - levels).abs().max() < 2.0 / 200_000**0.5
    assert noise.isfinite().all()
    assert (measured - expected).abs().max() < 0.1


def test_noise_is_the_same_for_ever():
    """A stored seed must go on giving the same text: these values may not change."""
    noise = gumbel(torch.tensor([0, 1, 151_000], dtype=torch.int32), keys([42], [100]))

    torch.testing.assert_close(noise, torch.tensor([[-0.081308, 1.625223, 2.017298]]), atol=1e-5, rtol=0)
