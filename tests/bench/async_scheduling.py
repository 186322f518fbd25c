"""What scheduling ahead gains: `python tests/bench/async_scheduling.py [--layers N]`.

Decode steps of random models on the CPU, one step at a time and with --async-scheduling, in turns (A B A B). The part of
a step that can be hidden is the core's own work: planning, taking tokens in, and encoding the answers.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import LlamaConfig

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.messages import AddRequest, EngineStats, StepOutputs, encode
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

VOCABULARY = 4096
STEPS = 60
ROUNDS = 3
NOTHING = EngineStats(0, 0, 0.0, 0, 0, 0, 0, 0)


def make_config(folder: Path, layers: int, hidden: int) -> Path:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=2048,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
    )
    config.save_pretrained(folder)
    return folder


def make_core(path: Path, ahead: bool, running: int) -> EngineCore:
    config = ServeConfig.model_validate(
        {"load": {"load_format": "dummy"}, "cache": {"num_gpu_blocks_override": 9000}}
    )
    shape = ModelShape.read(path, config.model)
    settings = EngineSettings(
        max_model_len=2048,
        dtype="float32",
        vocab_size=VOCABULARY,
        eos_token_ids=(),
        block_size=16,
        max_num_seqs=running,
        max_num_batched_tokens=8192,
        max_waiting=running,
        device="cpu",
        num_gpu_blocks_override=9000,
        async_scheduling=ahead,
    )
    core = EngineCore(UniExecutor(settings, config, shape, path), settings)
    for number in range(running):
        sampling = SamplingParams(max_tokens=2000, temperature=0, ignore_eos=True)
        core.add(AddRequest(str(number), [1 + number % 100] * 16, sampling, float(number)))
    for _ in range(3):
        core.step()
    return core


def seconds_per_step(core: EngineCore) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        for outputs in core.step().values():
            encode(StepOutputs(outputs, NOTHING))
    return (time.perf_counter() - start) / STEPS


def compare(path: Path, running: int) -> tuple[list[float], list[float]]:
    cores = [make_core(path, ahead, running) for ahead in (False, True)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for core, found in zip(cores, times, strict=True):
            found.append(seconds_per_step(core))
    for core in cores:
        core.shutdown()
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    print(
        f"decode, {options.layers} layers of {options.hidden}, {torch.get_num_threads()} threads, medians of {ROUNDS}"
    )
    print(f"{'running':>7} {'one at a time':>14} {'async':>10} {'gain':>6}")
    with tempfile.TemporaryDirectory() as folder:
        path = make_config(Path(folder), options.layers, options.hidden)
        for running in (1, 16, 64, 256):
            sync, ahead = map(statistics.median, compare(path, running))
            print(f"{running:>7} {sync * 1e3:>11.2f} ms {ahead * 1e3:>7.2f} ms {sync / ahead:>6.2f}")


if __name__ == "__main__":
    main()
