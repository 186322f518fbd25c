"""Models of transformers split over two ranks by their own plans: token-equal to generate, or refused by name."""

import json

import pytest
import torch
from causal_lm_families import BROKEN, REFUSED, families, tiny_model
from rank_pair import run_two_ranks

from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.engine.models.transformers_backend.tensor_plan import TensorPlan

KINDS = sorted(set(families()) - set(REFUSED) - set(BROKEN))
UNPLANNED = {
    "bert", "bert-generation", "bitnet", "ctrl", "dbrx", "diffllama", "electra", "ernie", "fuyu", "gpt-sw3", "gpt2",
    "gpt_bigcode", "gpt_oss", "hunyuan_v1_dense", "jetmoe", "lfm2", "mllama", "modernbert-decoder", "opt", "persimmon",
    "roc_bert",
}  # fmt: skip
"""Those for whose layers transformers has no plan."""
TOKENS = torch.arange(20) * 3


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """By kind, what generate says, and what either rank does."""
    folder, expected = tmp_path_factory.mktemp("kinds"), {}
    for kind in KINDS:
        model = tiny_model(kind)
        model.generation_config.eos_token_id = None
        model.save_pretrained(folder / kind)
        known = model.generate(TOKENS[None], max_new_tokens=12, min_new_tokens=12, do_sample=False)
        expected[kind] = known[0, len(TOKENS) :].tolist()
    run_two_ranks(folder, [f"transformers:{kind}" for kind in KINDS], seconds=900)
    return {
        kind: (
            expected[kind],
            [json.loads((folder / kind / f"transformers-{rank}.json").read_text()) for rank in (0, 1)],
        )
        for kind in KINDS
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_give_the_tokens_of_generate_or_refuse(answers, kind):
    expected, found = answers[kind]

    if kind in UNPLANNED:
        assert all(
            "because transformers has no tensor-parallel plan for its layers" in each for each in found
        )
    else:
        assert found == [expected, expected]


def test_a_style_that_only_transformers_knows_is_named():
    with pytest.raises(Unsupported, match="has the style sequence_parallel, which only transformers knows"):
        TensorPlan({"model.layers.*.norm": "sequence_parallel", "model.layers.*.q_proj": "colwise"})


def test_heads_that_the_ranks_cannot_share_are_counted():
    plan = TensorPlan({"model.layers.*.self_attn.k_proj": "colwise"})

    with pytest.raises(Unsupported, match="--tensor-parallel-size 4 does not divide its 2 KV heads"):
        plan.check_heads({"num_attention_heads": 8, "num_key_value_heads": 2}, 4)
