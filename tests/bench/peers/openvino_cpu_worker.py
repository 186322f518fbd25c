"""Runs in OpenVINO GenAI's environment: one line `[prompts, max_tokens]` in, the seconds of each step out."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino_genai as genai
from openvino import Tensor

Prompts = list[list[int]]


def main() -> None:
    folder, options = sys.argv[1], json.loads(sys.argv[2])
    make = fixed_batch if "ATTENTION_BACKEND" in options["properties"] else continuous_batching
    step_seconds = make(folder, **options)
    print("answer", json.dumps("ready"), flush=True)
    for line in sys.stdin:
        prompts, max_tokens = json.loads(line)
        config = genai.GenerationConfig(max_new_tokens=max_tokens, ignore_eos=True, do_sample=False)
        print("answer", json.dumps(step_seconds(prompts, config)), flush=True)


def continuous_batching(
    folder: str, properties: dict[str, str], scheduler: dict[str, Any]
) -> Callable[[Prompts, Any], list[float]]:
    settings = genai.SchedulerConfig()
    for name, value in scheduler.items():
        setattr(settings, name, value)
    pipeline = genai.ContinuousBatchingPipeline(folder, settings, "CPU", properties)

    def step_seconds(prompts: Prompts, config: Any) -> list[float]:
        handles = [
            pipeline.add_request(number, Tensor(np.array([prompt])), config)
            for number, prompt in enumerate(prompts)
        ]
        seconds = []
        while pipeline.has_non_finished_requests():
            begun = time.perf_counter()
            pipeline.step()
            seconds.append(time.perf_counter() - begun)
        for handle in handles:
            [answer] = handle.read_all()
            assert len(answer.generated_ids) == config.max_new_tokens
        return seconds

    return step_seconds


def fixed_batch(
    folder: str, properties: dict[str, str], scheduler: dict[str, Any]
) -> Callable[[Prompts, Any], list[float]]:
    """Without a scheduler; prompts must have one length."""
    pipeline = genai.LLMPipeline(folder, "CPU", **properties)

    def step_seconds(prompts: Prompts, config: Any) -> list[float]:
        ids = np.array(prompts)
        begun = time.perf_counter()
        made = pipeline.generate(genai.TokenizedInputs(Tensor(ids), Tensor(np.ones_like(ids))), config)
        whole = time.perf_counter() - begun
        assert all(len(tokens) == config.max_new_tokens for tokens in made.tokens)
        later = [float(step) for step in np.diff(made.perf_metrics.raw_metrics.m_new_token_times) / 1e3]
        return [whole - sum(later), *later]

    return step_seconds


if __name__ == "__main__":
    main()
