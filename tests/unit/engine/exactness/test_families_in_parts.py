"""Every native family split over two ranks, by its tensors and by its layers: the judge is transformers in float32."""

import json

import pytest
import torch
from model_families import make_model, save_model
from rank_pair import run_two_ranks

FAMILIES = [
    "deepseek-v2", "deepseek-v3", "gemma2", "gemma3", "gpt-oss-mxfp4", "gpt-oss", "gpt2", "llama-tied-llama3-rope",
    "mixtral", "opt", "phi3", "qwen2-window-tied", "qwen3-moe", "qwen3-one-kv-head",
]  # fmt: skip
WITH_EXPERTS = ["deepseek-v2", "deepseek-v3", "gpt-oss-mxfp4", "gpt-oss", "mixtral", "qwen3-moe"]
THROUGH_TRANSFORMERS = ["phi3", "qwen3-moe"]
TOKENS = torch.arange(20) * 3


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of saved models, run by a pair of ranks, and transformers' logits and tokens for each."""
    folder, expected, tokens = tmp_path_factory.mktemp("families"), {}, {}
    for name in FAMILIES:
        model = make_model(name)
        save_model(name, model, folder / name)
        with torch.inference_mode():
            expected[name] = model(TOKENS[None]).logits[0]
            if name in THROUGH_TRANSFORMERS:
                known = model.generate(TOKENS[None], max_new_tokens=12, min_new_tokens=12, do_sample=False)
                tokens[name] = known[0, len(TOKENS) :].tolist()
    run_two_ranks(folder, [*FAMILIES, *(f"transformers:{name}" for name in THROUGH_TRANSFORMERS)])
    return folder, expected, tokens


@pytest.mark.parametrize("name", FAMILIES)
def test_two_tensor_parallel_ranks_give_the_logits_of_transformers(parts, name):
    folder, expected, _ = parts

    for rank in (0, 1):
        found = torch.load(folder / name / f"tensor-{rank}.pt")
        torch.testing.assert_close(found, expected[name], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("placement", ["linear", "round_robin"])
@pytest.mark.parametrize("name", WITH_EXPERTS)
def test_whole_experts_on_either_rank_give_the_logits_of_transformers(parts, name, placement):
    folder, expected, _ = parts

    for rank in (0, 1):
        found = torch.load(folder / name / f"{placement}-{rank}.pt")
        torch.testing.assert_close(found, expected[name], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_two_pipeline_stages_give_the_logits_of_transformers(parts, name):
    folder, expected, _ = parts

    found = torch.load(folder / name / "pipeline-1.pt")
    torch.testing.assert_close(found, expected[name], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", THROUGH_TRANSFORMERS)
def test_two_ranks_of_a_model_through_transformers_give_the_tokens_of_generate(parts, name):
    folder, _, tokens = parts

    for rank in (0, 1):
        assert json.loads((folder / name / f"transformers-{rank}.json").read_text()) == tokens[name]
