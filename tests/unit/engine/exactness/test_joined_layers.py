"""Layers that run in one call, and those that do not."""

import pytest

from paddock.engine.lora.adapter import AdapterLimits
from paddock.engine.sampling.params import SamplingParams

BLOCK = 8
PROMPT = [(13 * i * i + 7 * i + 1) % 211 for i in range(41)]
JOINED = ["llama", "mistral-window", "qwen2-window-tied", "qwen3", "phi3"]
APART = ["gemma2", "qwen3-moe", "gpt2", "gpt-oss", "deepseek-v2"]


def model_of(driver):
    return driver.executor.worker.model


@pytest.mark.parametrize("name", JOINED)
def test_joined_layers_give_the_bits_of_one_by_one(checkpoint_of, drive, name):
    checkpoint = checkpoint_of(name)
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)
    sampling = SamplingParams(max_tokens=6, temperature=0, prompt_logprobs=0, logprobs=5)
    assert model_of(driver).joined is not None
    joined = driver.generate(PROMPT, sampling, 16)

    model_of(driver).joined = None
    driver.step = 0

    assert driver.generate(PROMPT, sampling, 16) == joined


@pytest.mark.parametrize("name", APART)
def test_other_layers_run_one_by_one(checkpoint_of, drive, name):
    checkpoint = checkpoint_of(name)
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)

    assert model_of(driver).joined is None


def test_layers_with_room_for_adapters_run_one_by_one(checkpoint_of, drive):
    checkpoint = checkpoint_of("llama")
    limits = AdapterLimits(max_loras=1, max_cpu_loras=1, max_rank=8, dtype="float32")
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK, lora=limits)), BLOCK)

    assert model_of(driver).joined is None
