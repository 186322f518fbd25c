"""Inputs are queued, cut into chunks and freed as prompts are."""

from collections.abc import Callable

import numpy as np
import pytest
from pooling_models import PoolingCheckpoint, random_inputs

from paddock.engine.messages import AddRequest
from paddock.engine.pooling.params import PoolingParams, PoolingType
from paddock.engine.sampling.params import SamplingParams

Make = Callable[[str], PoolingCheckpoint]


def ask(token_ids: list[int], params: PoolingParams | None, name: str = "a") -> AddRequest:
    return AddRequest(name, token_ids, SamplingParams(max_tokens=1), 0.0, pooling=params)


@pytest.mark.parametrize(("pooling", "changes"), [
    ("CLS", {"max_num_batched_tokens": 16}),
    ("MEAN", {"num_gpu_blocks_override": 20, "max_num_batched_tokens": 24}),
    ("LAST", {"enable_prefix_caching": False}),
    ("MEAN", {"async_scheduling": True, "max_num_batched_tokens": 32}),
    ("ALL", {"block_size": 16, "max_num_seqs": 2, "max_num_batched_tokens": 16}),
])  # fmt: skip
def test_chunks_queues_and_prefixes_change_no_result(
    pooling: PoolingType, changes: dict[str, object], body: Make
) -> None:
    checkpoint, inputs = body("qwen3-tied-bias"), random_inputs()
    params = PoolingParams(pooling=pooling)
    alone = checkpoint.engine(max_num_seqs=1)
    reference = [alone.results([each], params)[0] for each in inputs]

    engine = checkpoint.engine(**changes)
    for _ in range(2):
        for given, expected in zip(engine.results(inputs, params), reference, strict=True):
            np.testing.assert_allclose(given, expected, atol=1e-5)


def test_a_prefix_is_read_from_the_cache_for_the_last_state_alone(body: Make) -> None:
    engine = body("qwen3-tied-bias").engine()
    long = random_inputs()[5]

    engine.results([long], PoolingParams(pooling="LAST"))
    engine.results([long], PoolingParams(pooling="LAST"))
    engine.results([long], PoolingParams(pooling="MEAN"))

    cached = [output.num_cached_tokens for output in engine.outputs.values()]
    assert cached == [0, (len(long) - 1) // 8 * 8, 0]


def test_an_input_may_fill_the_whole_context(body: Make) -> None:
    engine = body("bert").engine()
    full = [5] * 128

    assert engine.core.add(ask([*full, 5], PoolingParams(pooling="CLS"))).status == 400  # type: ignore[union-attr]
    assert engine.vectors([full], PoolingParams(pooling="CLS")).shape == (1, 64)


def test_an_aborted_input_frees_its_blocks_and_leaves_no_trace_in_its_row(body: Make) -> None:
    checkpoint, inputs = body("qwen3-tied-bias"), random_inputs()
    engine = checkpoint.engine(max_num_batched_tokens=16, max_num_seqs=1)
    expected = checkpoint.engine().vectors(inputs[6:7], PoolingParams(pooling="MEAN"))

    assert engine.core.add(ask(inputs[5], PoolingParams(pooling="MEAN"), "gone")) is None
    engine.core.step()
    engine.core.abort(["gone"])
    engine.core.check_integrity()

    np.testing.assert_allclose(
        engine.vectors(inputs[6:7], PoolingParams(pooling="MEAN")), expected, atol=1e-5
    )


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (None, "model"),
        (PoolingParams(pooling="CLS", scores=True), "task"),
        (PoolingParams(pooling="CLS", dimensions=65), "dimensions"),
        (PoolingParams(pooling="CLS", second_from=9), "input"),
        (PoolingParams(pooling="STEP"), "task"),
    ],
)
def test_what_the_model_cannot_compute_is_refused(
    params: PoolingParams | None, field: str, body: Make
) -> None:
    refusal = body("bert").engine().core.add(ask([3, 4, 5], params))
    assert refusal is not None
    assert (refusal.status, refusal.param) == (400, field)


def test_a_number_that_is_not_finite_ends_its_own_input_alone(body: Make) -> None:
    engine = body("bert").engine()
    engine.core._executor.worker.model.body.words.weight[7] = float("nan")  # type: ignore[attr-defined]

    for name, token_ids in (("bad", [3, 7]), ("good", [3, 4])):
        assert engine.core.add(ask(token_ids, PoolingParams(pooling="MEAN"), name)) is None
    [outputs] = engine.core.step().values()

    by_name = {output.request_id: output for output in outputs}
    assert by_name["good"].pooled is not None
    assert by_name["bad"].finish_reason == "error"
    assert "dtype" in str(by_name["bad"].error)
