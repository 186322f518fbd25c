"""Random checkpoints of every family, their oracle (transformers, float32, CPU), and ways to drive the engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_families import CONFIGS, VARIANTS, VOCAB, make_model, save_model

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.plan import NewRow, ScheduledRow, StepPlan, StepResult
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.messages import AddRequest, RequestOutput
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings


@dataclass
class Checkpoint:
    path: Path
    oracle: Any
    config: ServeConfig = field(default_factory=ServeConfig)

    @torch.inference_mode()
    def continuation(self, prompt: Sequence[int], count: int) -> list[int]:
        ids = torch.tensor([list(prompt)])
        out = self.oracle.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
        )
        tokens: list[int] = out[0, len(prompt) :].tolist()
        return tokens

    @torch.inference_mode()
    def logits(self, token_ids: Sequence[int]) -> torch.Tensor:
        """float32 `[tokens, vocab]`."""
        logits: torch.Tensor = self.oracle(torch.tensor([list(token_ids)])).logits[0].float()
        return logits

    def shape(self) -> ModelShape:
        return ModelShape.read(self.path, self.config.model)

    def settings(self, **changes: Any) -> EngineSettings:
        shape = self.shape()
        values: dict[str, Any] = {
            "max_model_len": 256,
            "dtype": "float32",
            "vocab_size": shape.vocab_size,
            "eos_token_ids": (),
            "block_size": 8,
            "max_num_seqs": 40,
            "max_num_batched_tokens": 512,
            "max_waiting": 100,
            "device": "cpu",
            "num_gpu_blocks_override": 1200,
        }
        return EngineSettings(**(values | changes))

    def executor(self, settings: EngineSettings) -> UniExecutor:
        return UniExecutor(settings, self.config, self.shape(), self.path)


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    made: dict[str, Checkpoint] = {}

    def get(name: str) -> Checkpoint:
        if name not in made:
            path = tmp_path_factory.mktemp(name)
            model = make_model(name)
            save_model(name, model, path)
            made[name] = Checkpoint(path, model)
        return made[name]

    return get


@pytest.fixture(params=[name for name in CONFIGS if name not in VARIANTS])
def checkpoint(request: pytest.FixtureRequest, checkpoint_of: Callable[[str], Checkpoint]) -> Checkpoint:
    return checkpoint_of(request.param)


@pytest.fixture(params=list(CONFIGS))
def every_checkpoint(
    request: pytest.FixtureRequest, checkpoint_of: Callable[[str], Checkpoint]
) -> Checkpoint:
    """With the variants of a family, whose batches, chunks and blocks are handled by the same code."""
    return checkpoint_of(request.param)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The oracle's tensors are tiny: on a busy machine threads would spend minutes waiting for each other."""
    torch.set_num_threads(1)


class HandDriven:
    """One request after another through an executor, by plans made by hand."""

    def __init__(self, executor: UniExecutor, block_size: int, num_blocks: int = 64) -> None:
        executor.initialize_cache(num_blocks)
        self.executor, self.block_size, self.step = executor, block_size, 0

    def plan(
        self, new: list[NewRow], scheduled: list[ScheduledRow], freed: list[int] | None = None
    ) -> StepResult:
        self.step += 1
        self.executor.submit(StepPlan(self.step, freed or [], new, scheduled))
        return self.executor.collect()

    def generate(
        self, prompt: Sequence[int], sampling: SamplingParams, chunk: int, *, row: int = 0
    ) -> tuple[list[int], list[StepResult]]:
        """Blocks are taken in a scattered order, as after some traffic."""
        blocks = [int(b) for b in np.random.default_rng(7).permutation(60)]
        known, computed, held, results = list(prompt), 0, 0, []
        new = [NewRow(row, "r", list(prompt), len(prompt), sampling)]
        while len(known) < len(prompt) + sampling.max_tokens:
            count = min(chunk, len(known) - computed)
            needed = -(-(computed + count) // self.block_size)
            last = computed + count == len(known)
            results.append(self.plan(new, [ScheduledRow(row, computed, count, blocks[held:needed], last)]))
            new, held, computed = [], max(held, needed), computed + count
            known += [sampled.token_id for sampled in results[-1].sampled]
        return known[len(prompt) :], results


@pytest.fixture
def drive() -> type[HandDriven]:
    return HandDriven


class Engine:
    """An engine core and what it has answered so far."""

    def __init__(self, checkpoint: Checkpoint, **changes: Any) -> None:
        self.settings = checkpoint.settings(**changes)
        self.core = EngineCore(checkpoint.executor(self.settings), self.settings)
        self.outputs: dict[str, list[RequestOutput]] = {}

    def add(self, request_id: str, prompt: Sequence[int], sampling: SamplingParams) -> None:
        assert self.core.add(AddRequest(request_id, list(prompt), sampling, 0.0)) is None

    def step(self) -> None:
        for outputs in self.core.step().values():
            for output in outputs:
                self.outputs.setdefault(output.request_id, []).append(output)

    def run(self) -> None:
        while self.core.has_work:
            self.step()
        self.core.check_integrity()

    def tokens(self, request_id: str) -> list[int]:
        return [token for output in self.outputs[request_id] for token in output.new_token_ids]

    def generate(self, prompts: Sequence[Sequence[int]], sampling: SamplingParams) -> list[list[int]]:
        start = len(self.outputs)
        for index, prompt in enumerate(prompts):
            self.add(f"{start + index}", prompt, sampling)
        self.run()
        return [self.tokens(f"{start + index}") for index in range(len(prompts))]


@pytest.fixture(scope="session")
def checkpoint_type() -> type[Checkpoint]:
    return Checkpoint


@pytest.fixture
def engine() -> type[Engine]:
    return Engine


@pytest.fixture(scope="session")
def prompts() -> list[list[int]]:
    """32 prompts of 1 to 90 tokens; a third share a beginning of five blocks."""
    random = np.random.default_rng(3)
    shared = random.integers(0, VOCAB, 40).tolist()
    lengths = [1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, *random.integers(3, 90, 21).tolist()]
    made = [random.integers(0, VOCAB, length).tolist() for length in lengths]
    return [shared + prompt if index % 3 == 0 else prompt for index, prompt in enumerate(made)]
