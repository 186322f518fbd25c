"""What each rank takes of the node's memory to load: its own part of the model, and little beside."""

import re

import pytest
import torch
from serving import Serve
from transformers import LlamaConfig, LlamaForCausalLM

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

FLAGS = ("--skip-tokenizer-init", "--max-model-len", "128", "--distributed-executor-backend", "mp")
LOADED = re.compile(r"rank \d of \d holds ([\d.]+) GB of weights; peak resident memory .*: ([\d.]+) GB")
SLACK_GB = 0.06
"""The largest tensor, of the embedding, and what no two processes have quite alike."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Half a gigabyte."""
    path = tmp_path_factory.mktemp("llama")
    config = LlamaConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=12,
        vocab_size=24_000,
        num_attention_heads=16,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).bfloat16().save_pretrained(path)
    return path


def loaded(folder, checkpoint, *flags):
    """GB of weights, and of the process's peak, for each rank."""
    log = folder / " ".join(("log", *flags))
    with Serve(log, *FLAGS, *flags, model=checkpoint):
        return [(float(weights), float(peak)) for weights, peak in LOADED.findall(log.read_text())]


def test_the_peak_of_a_rank_falls_with_the_part_that_it_loads(checkpoint, tmp_path):
    [(whole, peak)] = loaded(tmp_path, checkpoint)

    for split in ("--tensor-parallel-size", "--pipeline-parallel-size"):
        parts = loaded(tmp_path, checkpoint, split, "2")
        print(f"{split} 1: {whole} GB of weights, peak {peak} GB; 2: {parts}")
        assert len(parts) == 2
        for weights, own_peak in parts:
            assert weights < 0.65 * whole
            assert peak - own_peak > whole - weights - SLACK_GB
