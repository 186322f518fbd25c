"""Class scores and vectors are those of transformers in float32, whatever the batch, the chunks and the blocks."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pooling_models import DECODERS, ENCODERS, MORE_DECODERS, PoolingCheckpoint, random_inputs

from paddock.engine.pooling.params import PoolingParams, PoolingType

TOLERANCE = 1e-5
Make = Callable[[str], PoolingCheckpoint]


@pytest.mark.parametrize(
    "name",
    [*ENCODERS, *DECODERS, *(pytest.param(name, marks=pytest.mark.long) for name in MORE_DECODERS)],
)
def test_class_scores_equal_transformers_logits(name: str, classifier: Make) -> None:
    checkpoint, inputs = classifier(name), random_inputs()
    engine = checkpoint.engine(max_num_batched_tokens=128 if name in ENCODERS else 40)
    assert engine.plan.task == "classify"

    scores = engine.vectors(inputs, PoolingParams(pooling=engine.plan.pooling, scores=True, activate=False))

    reference = np.stack([checkpoint.logits(each) for each in inputs])
    np.testing.assert_allclose(scores, reference, atol=TOLERANCE * max(1.0, np.abs(reference).max()))


@pytest.mark.parametrize("name", [*ENCODERS, "qwen3-tied-bias", "gpt2", "opt"])
@pytest.mark.parametrize("pooling", ["CLS", "LAST", "MEAN"])
def test_vectors_of_a_body_alone_equal_transformers_states(
    name: str, pooling: PoolingType, body: Make
) -> None:
    checkpoint, inputs = body(name), random_inputs()
    engine = checkpoint.engine(max_num_batched_tokens=128 if name in ENCODERS else 24)

    vectors = engine.vectors(inputs, PoolingParams(pooling=pooling))

    reference = [torch.nn.functional.normalize(_pooled(checkpoint, each, pooling), dim=0) for each in inputs]
    np.testing.assert_allclose(vectors, torch.stack(reference).numpy(), atol=TOLERANCE)


def _pooled(checkpoint: PoolingCheckpoint, token_ids: list[int], pooling: PoolingType) -> torch.Tensor:
    states = checkpoint.states(token_ids)
    return {"CLS": states[0], "LAST": states[-1], "MEAN": states.mean(0)}[pooling]


@pytest.mark.parametrize("name", ["bert", "qwen3-tied-bias"])
def test_every_token_has_a_row_of_its_own_when_all_are_asked_for(name: str, body: Make) -> None:
    checkpoint, inputs = body(name), random_inputs()
    engine = checkpoint.engine()

    rows = engine.results(inputs, PoolingParams(pooling="ALL", activate=False))

    for given, each in zip(rows, inputs, strict=True):
        np.testing.assert_allclose(given, checkpoint.states(each).numpy(), atol=1e-4)


def test_the_second_text_of_a_pair_has_its_own_token_type(classifier: Make) -> None:
    checkpoint, [pair] = classifier("bert"), random_inputs()[4:5]
    engine = checkpoint.engine()
    params = PoolingParams(pooling="CLS", scores=True, activate=False, second_from=20)

    [scores] = engine.vectors([pair], params)

    types = torch.tensor([[0] * 20 + [1] * (len(pair) - 20)])
    np.testing.assert_allclose(scores, checkpoint.logits(pair, token_type_ids=types), atol=TOLERANCE)
    assert np.abs(scores - checkpoint.logits(pair)).max() > 1e-3


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("single_label_classification", lambda logits: torch.softmax(logits, -1)),
        ("multi_label_classification", torch.sigmoid),
        ("regression", lambda logits: logits),
    ],
)
def test_scores_are_activated_as_the_model_says(
    problem: str, expected: Callable[[torch.Tensor], torch.Tensor], classifier: Make
) -> None:
    checkpoint, inputs = classifier("bert"), random_inputs()[:3]
    engine = checkpoint.engine({"hf_overrides": {"problem_type": problem}})

    scores = engine.vectors(inputs, PoolingParams(pooling="CLS", scores=True))

    reference = expected(torch.stack([torch.from_numpy(checkpoint.logits(each)) for each in inputs]))
    np.testing.assert_allclose(scores, reference.numpy(), atol=TOLERANCE)


def test_a_generating_checkpoint_embeds_when_it_is_converted(body: Make) -> None:
    """The body is stored alone and declared as a causal model, as embedding models on decoders are published."""
    checkpoint, inputs = body("qwen3-tied-bias"), random_inputs()
    engine = checkpoint.engine({"hf_overrides": {"architectures": ["Qwen3ForCausalLM"]}, "convert": "embed"})

    vectors = engine.vectors(inputs, PoolingParams(pooling="LAST", dimensions=16))

    cut = [checkpoint.states(each)[-1, :16] for each in inputs]
    reference = torch.nn.functional.normalize(torch.stack(cut), dim=1)
    np.testing.assert_allclose(vectors, reference.numpy(), atol=TOLERANCE)
