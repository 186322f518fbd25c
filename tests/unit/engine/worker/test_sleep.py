"""A worker that sleeps: its memory really goes back to the machine, and what it computes afterwards is the same."""

from pathlib import Path

import pytest
from model_shape import model_shape

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings
from paddock.engine.worker import device

NUM_BLOCKS = 40000
SHAPE = model_shape(hidden_size=512, intermediate_size=8192)


@pytest.fixture
def core(tmp_path: Path) -> EngineCore:
    settings = EngineSettings(
        max_model_len=64,
        dtype="bfloat16",
        vocab_size=50,
        eos_token_ids=(),
        block_size=16,
        max_num_seqs=4,
        max_num_batched_tokens=64,
        max_waiting=4,
        device="cpu",
        num_gpu_blocks_override=NUM_BLOCKS,
    )
    config = ServeConfig.model_validate({"load": {"load_format": "dummy"}})
    return EngineCore(UniExecutor(settings, config, SHAPE, tmp_path), settings)


def answer(core: EngineCore) -> list[int]:
    core.add(AddRequest("a", list(range(40)), SamplingParams(max_tokens=8, temperature=0), 0.0))
    tokens: list[int] = []
    while core.has_work:
        tokens += [token for output in core.step()[b""] for token in output.new_token_ids]
    return tokens


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def fill(core: EngineCore) -> int:
    """Write to the whole cache, as traffic would; returns its bytes."""
    layers = core._executor.worker.model.layers
    tensors = [
        tensor for layer in layers for tensor in (layer.self_attn.key_cache, layer.self_attn.value_cache)
    ]
    for tensor in tensors:
        tensor.fill_(0.5)
    return sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("level", [1, 2])
def test_what_sleep_gives_back_is_free_for_others_and_comes_again(core, level) -> None:
    expected = answer(core)
    cache_bytes, (weight_bytes, _) = fill(core), core.held_bytes()
    awake = resident()

    core.sleep(level)

    given = cache_bytes + (weight_bytes if level == 2 else 0)
    assert awake - resident() > 0.9 * given
    assert core.wake_up() is None
    assert answer(core) == expected


def test_who_finds_no_room_on_waking_stays_asleep_and_may_try_again(core, monkeypatch) -> None:
    expected = answer(core)
    core.sleep(2)
    asleep = resident()

    with monkeypatch.context() as scarce:
        scarce.setattr(device, "available_memory", lambda: 1 << 20)
        fault = core.wake_up()
    core.sleep(2)

    assert fault is not None
    assert "the model does not fit: weights" in fault
    assert resident() - asleep < 8 << 20
    assert core.wake_up() is None
    assert answer(core) == expected
