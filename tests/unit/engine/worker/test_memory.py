"""How much the cache may take, and what is said when it is too much."""

import pytest
import torch
from model_shape import model_shape

from paddock.engine.config.serve import ServeConfig
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.settings import EngineSettings
from paddock.engine.worker import device
from paddock.engine.worker.device import CPU_CACHE_CAP, cache_budget

SHAPE = model_shape()
CPU = torch.device("cpu")


@pytest.fixture
def executor(tmp_path):
    def make(**changes):
        values = {
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
        config = ServeConfig.model_validate({"load": {"load_format": "dummy"}})
        return UniExecutor(EngineSettings(**(values | changes)), config, SHAPE, tmp_path)

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
    assert executor(kv_cache_memory_bytes=7 << 30).available_cache_bytes() == 7 << 30


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
