"""A real embedding model gives the vectors that its authors' library gives: mean pooling over transformers' states."""

import numpy as np
import pytest
import torch
from minilm import minilm_folder
from pooling_models import PoolingEngine
from transformers import AutoModel, AutoTokenizer

from paddock.engine.pooling.params import PoolingParams
from paddock.server.tokens.tokenizer import Tokenizer

TEXTS = [
    "How do I scale a deployment?",
    "kubectl scale sets the number of replicas of a deployment.",
    "Bananas are rich in potassium.",
    "Grüße aus Köln 日本 " * 20,
]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Ours, by what the checkpoint's files say alone."""
    folder = minilm_folder()
    tokenizer = Tokenizer(folder)
    inputs = [tokenizer.encode_input(text).token_ids for text in TEXTS]
    engine = PoolingEngine(folder, {}, {"max_model_len": 256, "max_num_batched_tokens": 256})
    plan = engine.plan
    assert (plan.pooling, plan.normalize, plan.longest_input) == ("MEAN", True, 256)
    return engine.vectors(inputs, PoolingParams(pooling=plan.pooling, activate=plan.normalize))


def test_vectors_equal_mean_pooling_in_transformers(vectors: np.ndarray) -> None:
    folder = minilm_folder()
    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    reference = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    np.testing.assert_allclose(vectors, reference.numpy(), atol=1e-5)


def test_a_question_is_nearest_to_its_answer(vectors: np.ndarray) -> None:
    likeness = vectors[0] @ vectors[1:].T
    assert likeness.argmax() == 0
    assert likeness[0] > 0.5 > likeness[1]
