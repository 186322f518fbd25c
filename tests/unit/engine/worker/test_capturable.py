"""Models whose steps cannot be recorded are named with the reason."""

from dataclasses import replace

import pytest
import torch
from model_shape import model_shape

from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.settings import EngineSettings
from paddock.engine.weights.loader import build_model
from paddock.engine.worker.capturable import eager_reason
from paddock.engine.worker.graph_recorder import recorder_for

CPU = torch.device("cpu")
PLACE = Placement(torch.float32, CPU)
SHAPE = model_shape(head_dim=16)
SETTINGS = EngineSettings(
    max_model_len=64,
    dtype="float32",
    vocab_size=50,
    eos_token_ids=(),
    block_size=16,
    max_num_seqs=4,
    max_num_batched_tokens=64,
    max_waiting=4,
)


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return build_model(SHAPE, PLACE, 64)


def test_a_native_model_with_attention_that_finds_lengths_on_its_device_is_recorded(model) -> None:
    assert eager_reason(model, SETTINGS, PLACE, torch.float32) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cpu_offload_bytes": 1 << 20}, "--cpu-offload-gb"),
        ({"timed_parts": frozenset({"model"})}, "--collect-detailed-traces model"),
    ],
)
def test_what_the_processor_does_in_the_middle_of_steps_is_not_recorded(model, changes, reason) -> None:
    assert reason in (eager_reason(model, replace(SETTINGS, **changes), PLACE, torch.float32) or "")


def test_attention_by_its_definition_is_not_recorded(model) -> None:
    """No compiled kernel computes in float16."""
    half = replace(PLACE, dtype=torch.float16)

    assert "vectors of 16 numbers" in (eager_reason(model, SETTINGS, half, torch.float16) or "")


def test_a_cpu_has_no_graphs() -> None:
    assert recorder_for(CPU) is None
