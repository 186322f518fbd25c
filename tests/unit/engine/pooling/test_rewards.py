"""--convert reward scores the tokens of an input: all, or those that end a step."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pooling_models import PoolingCheckpoint, random_inputs

from paddock.engine.models.errors import CheckpointError
from paddock.engine.pooling.params import PoolingParams

Make = Callable[[str], PoolingCheckpoint]
TAG = 7


def tagged() -> list[int]:
    """An input whose 3rd, 20th and last token end a step."""
    token_ids = [each if each != TAG else TAG + 1 for each in random_inputs()[5]]
    for place in (3, 20, len(token_ids) - 1):
        token_ids[place] = TAG
    return token_ids


def test_every_token_is_scored_by_the_checkpoints_head(classifier: Make) -> None:
    checkpoint, token_ids = classifier("qwen2"), tagged()
    engine = checkpoint.engine({"convert": "reward"}, max_num_batched_tokens=24)
    assert (engine.plan.task, engine.plan.pooling) == ("reward", "ALL")

    [scores] = engine.results([token_ids], PoolingParams(pooling="ALL", scores=True))

    logits = checkpoint.states(token_ids) @ checkpoint.oracle.score.weight.detach().T
    np.testing.assert_allclose(scores, torch.softmax(logits, -1).numpy(), atol=1e-5)


def test_steps_are_scored_by_the_logits_of_chosen_tokens(body: Make) -> None:
    """Of a causal model whose head is its embedding."""
    checkpoint, token_ids = body("qwen3-tied-bias"), tagged()
    pooler = {"step_tag_id": TAG, "returned_token_ids": (11, 5)}
    engine = checkpoint.engine(
        {
            "hf_overrides": {"architectures": ["Qwen3ForCausalLM"]},
            "convert": "reward",
            "pooler_config": pooler,
        },
        max_num_batched_tokens=24,
    )
    assert (engine.plan.pooling, engine.plan.labels) == ("STEP", ("11", "5"))

    [scores] = engine.results([token_ids], PoolingParams(pooling="STEP", scores=True))

    states = checkpoint.states(token_ids)[[3, 20, len(token_ids) - 1]]
    logits = states @ checkpoint.oracle.get_input_embeddings().weight.detach()[[11, 5]].T
    np.testing.assert_allclose(scores, torch.softmax(logits, -1).numpy(), atol=1e-5)


def test_an_input_without_a_step_has_no_rows(body: Make) -> None:
    engine = body("qwen3-tied-bias").engine({
        "hf_overrides": {"architectures": ["Qwen3ForCausalLM"]}, "convert": "reward",
        "pooler_config": {"step_tag_id": TAG, "returned_token_ids": (11, 5)},
    })  # fmt: skip
    [scores] = engine.results([[9, 9, 9]], PoolingParams(pooling="STEP", scores=True))
    assert scores.shape == (0, 2)


def test_a_model_without_scores_is_refused_by_the_tensor_it_lacks(body: Make) -> None:
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors .*score\.weight"):
        body("qwen3-tied-bias").engine({"convert": "reward"})
