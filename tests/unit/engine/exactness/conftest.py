"""Random checkpoints of every family, their oracle (transformers, float32, CPU), and ways to drive the engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.plan import NewRow, ScheduledRow, StepPlan, StepResult
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.messages import AddRequest, RequestOutput
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

VOCAB = 211
BASE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": None,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "llama": lambda: LlamaConfig(**BASE),
    "llama-tied-llama3-rope": lambda: LlamaConfig(
        **BASE, tie_word_embeddings=True, rope_parameters=LLAMA3_ROPE, attention_bias=True, mlp_bias=True
    ),
    "llama-linear-rope": lambda: LlamaConfig(
        **BASE, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    ),
    "mistral-window": lambda: MistralConfig(**BASE, sliding_window=24),
    "qwen2": lambda: Qwen2Config(**BASE),
    "qwen2-window-tied": lambda: Qwen2Config(
        **BASE, tie_word_embeddings=True, use_sliding_window=True, sliding_window=20, max_window_layers=1
    ),
    "qwen3": lambda: Qwen3Config(**BASE, head_dim=32),
    "qwen3-tied-bias": lambda: Qwen3Config(
        **BASE, head_dim=16, tie_word_embeddings=True, attention_bias=True
    ),
}


def make_model(name: str) -> Any:
    """Weights wide enough that logits are peaked: near-ties would make greedy tests a matter of rounding."""
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_config(CONFIGS[name](), dtype=torch.float32)
    for parameter_name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=1.0 if "embed" in parameter_name else 0.2)
        elif "norm" in parameter_name:
            torch.nn.init.uniform_(parameter, 0.7, 1.3)
        else:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@dataclass
class Checkpoint:
    path: Path
    oracle: Any

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
        return ModelShape.read(self.path, ServeConfig().model)

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
        return UniExecutor(settings, ServeConfig(), self.shape(), self.path)


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    made: dict[str, Checkpoint] = {}

    def get(name: str) -> Checkpoint:
        if name not in made:
            path = tmp_path_factory.mktemp(name)
            model = make_model(name)
            model.save_pretrained(path)
            made[name] = Checkpoint(path, model)
        return made[name]

    return get


@pytest.fixture(params=list(CONFIGS), ids=list(CONFIGS))
def checkpoint(request: pytest.FixtureRequest, checkpoint_of: Callable[[str], Checkpoint]) -> Checkpoint:
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
        return self.executor.execute(StepPlan(self.step, freed or [], new, scheduled))

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
