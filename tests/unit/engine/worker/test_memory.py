"""How much the cache may take, and what is said when it is too much."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_shape import model_shape

from paddock.engine.config.serve import ServeConfig
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.settings import EngineSettings
from paddock.engine.worker import device
from paddock.engine.worker.device import CPU_CACHE_CAP, cache_budget, swap_budget
from paddock.engine.worker.largest_step import TrialStep, peak_on_host

SHAPE = model_shape()
CPU = torch.device("cpu")


VALUES = {
    "max_model_len": 64,
    "dtype": "bfloat16",
    "vocab_size": 50,
    "eos_token_ids": (),
    "block_size": 16,
    "max_num_seqs": 4,
    "max_num_batched_tokens": 64,
    "max_waiting": 4,
    "device": "cpu",
}


@pytest.fixture
def executor(tmp_path):
    def make(**changes):
        config = ServeConfig.model_validate({"load": {"load_format": "dummy"}})
        return UniExecutor(EngineSettings(**(VALUES | changes)), config, SHAPE, tmp_path)

    return make


def test_a_block_holds_keys_and_values_of_every_layer(executor):
    assert executor().bytes_per_block() == 3 * 2 * 2 * 16 * 8 * 2


def test_the_budget_is_a_share_of_free_memory_less_activations(monkeypatch):
    monkeypatch.setattr(device, "available_memory", lambda: 1_000_000_000)

    assert cache_budget(CPU, 0.5, 100_000_000) == 400_000_000
    assert cache_budget(CPU, 0.5, 600_000_000) == 0


def test_the_budget_on_a_cpu_is_capped(monkeypatch):
    monkeypatch.setattr(device, "available_memory", lambda: 1 << 40)

    assert cache_budget(CPU, 0.9, 0) == CPU_CACHE_CAP


def test_bytes_that_are_asked_for_are_not_capped(executor):
    asked = 5 << 30

    assert executor(kv_cache_memory_bytes=asked).available_cache_bytes() == asked


def test_a_cache_that_does_not_fit_shows_the_arithmetic(executor):
    with pytest.raises(
        MemoryError, match=r"1000000000 blocks x 3072 bytes = 2861\.02 GiB does not fit the .* free on"
    ):
        executor().initialize_cache(1_000_000_000)


def test_a_large_cache_is_not_resident_before_it_is_used(executor):
    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    made = executor()
    before = resident()

    made.initialize_cache((1 << 30) // made.bytes_per_block())

    assert resident() - before < 200 << 20


def test_shutting_down_twice_is_safe_and_use_after_it_is_an_error(executor):
    made = executor()
    made.shutdown()
    made.shutdown()

    with pytest.raises(RuntimeError, match="has been shut down"):
        made.bytes_per_block()


def test_running_before_the_cache_exists_is_an_error(executor):
    from paddock.engine.executor.plan import StepPlan

    made = executor()
    made.submit(StepPlan(1, [], [], []))

    with pytest.raises(RuntimeError, match="before initialize_cache"):
        made.collect()


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded_with_the_arithmetic(
    tmp_path, monkeypatch
) -> None:
    shape = replace(
        SHAPE, hidden_size=4096, intermediate_size=14336, num_layers=320, layer_windows=(None,) * 320
    )
    monkeypatch.setattr(device, "available_memory", lambda: 8 << 30)
    config = ServeConfig.model_validate({"load": {"load_format": "dummy"}})
    settings = EngineSettings(**(VALUES | {"max_num_batched_tokens": 2048}))

    with pytest.raises(MemoryError) as raised:
        UniExecutor(settings, config, shape, tmp_path)

    text = str(raised.value)
    assert "weights 105.24 GiB + the largest step" in text
    assert "(--max-num-batched-tokens 2048, --max-num-seqs 4) + KV cache" in text
    assert "(one request of --max-model-len 64)" in text
    assert "there are 7.20 GiB to use (--gpu-memory-utilization 0.9 of 8.00 GiB free)" in text
    assert "Lower --max-model-len" in text


def test_a_cache_sized_by_hand_that_does_not_fit_is_refused_before_loading(executor) -> None:
    with pytest.raises(MemoryError, match=r"KV cache 9000\.00 GiB \(--kv-cache-memory-bytes\)"):
        executor(kv_cache_memory_bytes=9000 << 30)


def test_the_largest_step_is_measured_before_the_cache_is_sized(executor) -> None:
    made = executor(max_num_batched_tokens=2048, max_num_seqs=64, vocab_size=50)
    by_arithmetic = made.step_bytes()

    made.available_cache_bytes()

    trial = TrialStep.of(made.worker.settings)
    made.initialize_cache(trial.num_blocks(made.worker.settings))
    taken = peak_on_host(lambda: made.worker.execute(trial.plan(made.worker.settings)))
    # A page here and there aside, which the threads of other tests touch.
    assert taken <= max(made.step_bytes(), by_arithmetic) + (4 << 20)


@given(
    tokens=st.integers(1, 5000),
    rows=st.integers(1, 300),
    context=st.integers(1, 300),
    most=st.integers(1, 400),
)
def test_a_trial_step_is_one_that_may_be_formed_and_scaled_covers_the_largest(
    tokens, rows, context, most
) -> None:
    limits = {"max_num_batched_tokens": max(tokens, rows), "max_num_seqs": rows, "max_model_len": context}
    settings = EngineSettings(**(VALUES | limits))
    largest, trial = TrialStep.of(settings), TrialStep.of(settings, most)

    lengths = [scheduled.num_scheduled_tokens for scheduled in trial.plan(settings).scheduled]

    assert largest.scale == 1
    assert sum(lengths) == trial.num_tokens <= settings.max_num_batched_tokens
    assert len(lengths) == trial.num_rows <= rows
    assert all(0 < length <= context for length in lengths)
    assert trial.num_tokens * trial.scale >= largest.num_tokens - 1e-6
    assert trial.num_rows * trial.scale >= largest.num_rows - 1e-6


def test_swap_space_is_asked_for_on_a_cpu_and_customary_beside_a_gpu(monkeypatch) -> None:
    monkeypatch.setattr(device, "available_memory", lambda: 20 << 30)
    gpu = torch.device("cuda")

    assert swap_budget(CPU, None) == 0
    assert swap_budget(CPU, 1 << 20) == swap_budget(gpu, 1 << 20) == 1 << 20
    assert swap_budget(gpu, None) == swap_budget(gpu, None, 2) == 4 << 30
    assert swap_budget(gpu, None, 8) == (20 << 30) // 16


def test_swap_space_is_counted_in_blocks_and_against_the_cache_of_a_cpu(executor, monkeypatch) -> None:
    monkeypatch.setattr(device, "available_memory", lambda: 3 << 30)
    plain, swapping = executor(), executor(swap_space_bytes=(1 << 30) + 100)

    assert (plain.swap_blocks(), swapping.swap_blocks()) == (0, (1 << 30) // 3072)
    # What a trial step takes is measured, and differs by some pages.
    taken = plain.available_cache_bytes() - swapping.available_cache_bytes()
    assert taken == pytest.approx(1 << 30, rel=0.05)


def test_swap_space_that_does_not_fit_is_refused_before_loading_with_the_arithmetic(executor) -> None:
    with pytest.raises(
        MemoryError, match=r"swapped-out blocks 9000\.00 GiB \(--swap-space\) \+ KV cache"
    ) as raised:
        executor(swap_space_bytes=9000 << 30)

    assert "Lower --swap-space, --max-model-len" in str(raised.value)
