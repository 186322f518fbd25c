"""Every native family split over two ranks, by its tensors and by its layers: the judge is transformers in float32."""

import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
import torch
from model_families import make_model, save_model

SCRIPT = Path(__file__).parents[3] / "support" / "run_rank.py"
FAMILIES = [
    "deepseek-v2", "deepseek-v3", "gemma2", "gemma3", "gpt-oss-mxfp4", "gpt-oss", "gpt2", "llama-tied-llama3-rope",
    "mixtral", "opt", "phi3", "qwen2-window-tied", "qwen3-moe", "qwen3-one-kv-head",
]  # fmt: skip
WITH_EXPERTS = ["deepseek-v2", "deepseek-v3", "gpt-oss-mxfp4", "gpt-oss", "mixtral", "qwen3-moe"]
TOKENS = torch.arange(20) * 3


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of saved models, run by both pairs of ranks, and what transformers says to each."""
    folder, expected = tmp_path_factory.mktemp("families"), {}
    for name in FAMILIES:
        model = make_model(name)
        save_model(name, model, folder / name)
        with torch.inference_mode():
            expected[name] = model(TOKENS[None]).logits[0]
    run_two_ranks(folder)
    return folder, expected


def run_two_ranks(folder):
    memory = os.memfd_create("families")
    ranks = [
        Popen(
            [sys.executable, str(SCRIPT), str(folder), str(rank), str(memory), *FAMILIES],
            pass_fds=(memory,),
            stderr=PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for rank in (0, 1)
    ]
    os.close(memory)
    errors = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors


@pytest.mark.parametrize("name", FAMILIES)
def test_two_tensor_parallel_ranks_give_the_logits_of_transformers(parts, name):
    folder, expected = parts

    for rank in (0, 1):
        found = torch.load(folder / name / f"tensor-{rank}.pt")
        torch.testing.assert_close(found, expected[name], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("placement", ["linear", "round_robin"])
@pytest.mark.parametrize("name", WITH_EXPERTS)
def test_whole_experts_on_either_rank_give_the_logits_of_transformers(parts, name, placement):
    folder, expected = parts

    for rank in (0, 1):
        found = torch.load(folder / name / f"{placement}-{rank}.pt")
        torch.testing.assert_close(found, expected[name], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_two_pipeline_stages_give_the_logits_of_transformers(parts, name):
    folder, expected = parts

    found = torch.load(folder / name / "pipeline-1.pt")
    torch.testing.assert_close(found, expected[name], atol=1e-3, rtol=1e-3)
