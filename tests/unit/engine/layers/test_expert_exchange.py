"""Every rank hears the tokens of all replicas, and each replica gets its own sums."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.engine.layers.expert_exchange import ExpertExchange
from paddock.kernels.collective import SharedMemoryRanks, shared_memory_serves

CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(not shared_memory_serves(2), reason="needs the compiled kernels")


def in_ranks(replicas, tensor_size, work):
    """What `work` gives in a thread for each rank, with its exchange and the number of its replica."""
    memory, ranks = os.memfd_create("exchange"), replicas * tensor_size
    peers = [SharedMemoryRanks(memory, rank, ranks) for rank in range(ranks)]
    os.close(memory)

    def run(rank):
        replica, tensor_rank = divmod(rank, tensor_size)
        return work(ExpertExchange(peers[rank], replica, replicas, tensor_rank, tensor_size), replica)

    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(run, range(ranks)))


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 7), min_size=2, max_size=3).filter(any),
    tensor_size=st.integers(1, 2),
    top_k=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_tokens_of_unlike_steps_go_everywhere_and_sums_come_back(counts, tensor_size, top_k, dtype):
    rows = [torch.randn(count, 5).to(dtype) for count in counts]
    experts = [torch.randint(0, 9, (count, top_k)) for count in counts]
    weights = [torch.rand(count, top_k) for count in counts]

    def work(exchange, replica):
        assert exchange.begin(counts[replica], CPU)
        heard = exchange.gather(rows[replica], experts[replica], weights[replica])
        return heard, exchange.sum_of_own(heard[0].clone())

    everything = [torch.cat(parts) for parts in (rows, experts, weights)]
    for rank, (heard, own) in enumerate(in_ranks(len(counts), tensor_size, work)):
        for part, expected in zip(heard, everything, strict=True):
            torch.testing.assert_close(part, expected, rtol=0, atol=0)
        expected = rows[rank // tensor_size].float() * len(counts) * tensor_size
        torch.testing.assert_close(own, expected.to(dtype), rtol=1e-2, atol=0)


def test_a_step_without_tokens_anywhere_has_nothing_to_compute():
    assert in_ranks(2, 1, lambda exchange, _: exchange.begin(0, CPU)) == [False, False]
