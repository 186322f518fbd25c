"""Several ranks in processes of their own give the results of transformers, too."""

from collections.abc import Callable

import numpy as np
import pytest
from pooling_models import PoolingCheckpoint, random_inputs

from paddock.engine.pooling.params import PoolingParams


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "tensor", "pipeline"),
    [("bert", 2, 1), ("distilbert", 4, 1), ("qwen3-tied-bias", 2, 1), ("qwen2", 1, 2), ("gpt2", 2, 2)],
)
def test_ranks_give_the_class_scores_of_transformers(
    name: str, tensor: int, pipeline: int, classifier: Callable[[str], PoolingCheckpoint]
) -> None:
    checkpoint, inputs = classifier(name), random_inputs()
    sizes = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    engine = checkpoint.engine(parallel=sizes)
    try:
        params = PoolingParams(pooling=engine.plan.pooling, scores=True, activate=False)
        scores = engine.vectors(inputs, params)
    finally:
        engine.core.shutdown()

    reference = np.stack([checkpoint.logits(each) for each in inputs])
    np.testing.assert_allclose(scores, reference, atol=1e-5 * max(1.0, np.abs(reference).max()))
