"""Random checkpoints shaped like Qwen3-0.6B and Llama-3.2-1B, in our engine and in transformers, for the benchmarks here."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    Qwen3Config,
    StoppingCriteria,
    StoppingCriteriaList,
)

from paddock.engine.config import parse_serve
from paddock.engine.core import EngineCore
from paddock.engine.executor.choice import make_executor
from paddock.engine.messages import AddRequest
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.host import thread_count

CONFIG: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "eos_token_id": None,
}


LLAMA: dict[str, Any] = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "eos_token_id": None,
}
SHAPES = {"qwen3-0.6b": (Qwen3Config, CONFIG), "llama-3.2-1b": (LlamaConfig, LLAMA)}
TINY = Path(__file__).resolve().parents[1] / "models/tiny/model"
FOLDER = Path.home() / ".cache/paddock/bench"


@contextmanager
def checkpoint(shape: str = "qwen3-0.6b") -> Iterator[Path]:
    """A folder with the random bfloat16 checkpoint (1.2 or 2.5 GB), kept from run to run; or the `tiny` model's own."""
    folder = TINY if shape == "tiny" else FOLDER / shape
    if not folder.exists():
        unfinished = FOLDER / f"{shape}-{os.getpid()}"
        torch.manual_seed(0)
        kind, values = SHAPES[shape]
        model = AutoModelForCausalLM.from_config(kind(**values), dtype=torch.bfloat16)
        try:
            model.save_pretrained(unfinished)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    yield folder


class Ours:
    """The engine without its process; ranks have theirs."""

    def __init__(self, folder: Path, *flags: str) -> None:
        defaults = ("--max-num-seqs", "32", "--no-enable-prefix-caching")
        config = parse_serve([str(folder), *(flags or defaults)], os.environ)
        shape = ModelShape.read(folder, config.model)
        settings = EngineSettings.resolve(config, shape)
        self.core = EngineCore(make_executor(settings, config, shape, folder), settings)
        self.threads = torch.get_num_threads()
        self.served = 0

    def start(self, prompts: Sequence[Sequence[int]], max_tokens: int, **sampling: Any) -> None:
        params = SamplingParams(max_tokens=max_tokens, ignore_eos=True, **({"temperature": 0.0} | sampling))
        for prompt in prompts:
            self.served += 1
            self.core.add(AddRequest(f"r{self.served}", list(prompt), params, time.time()))

    def step_seconds(self, prompts: Sequence[Sequence[int]], max_tokens: int, **sampling: Any) -> list[float]:
        """Wall time of each step until all are done; the first ones compute the prompts."""
        torch.set_num_threads(self.threads)  # another engine of this process may have set its own
        self.start(prompts, max_tokens, **sampling)
        seconds = []
        while self.core.has_work:
            begun = time.perf_counter()
            self.core.step()
            seconds.append(time.perf_counter() - begun)
        return seconds


class Stamps(StoppingCriteria):  # type: ignore[misc]
    """Notes when each token of `generate` was ready."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.times.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


class Theirs:
    """transformers' generate, its defaults (SDPA attention, dynamic cache)."""

    def __init__(self, folder: Path) -> None:
        self.threads = thread_count(sum(file.stat().st_size for file in folder.glob("*.safetensors")))
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()

    @torch.inference_mode()
    def step_seconds(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[float]:
        torch.set_num_threads(self.threads)
        ids = torch.tensor([list(prompt) for prompt in prompts])
        stamps = Stamps()
        self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_tokens,
            min_new_tokens=max_tokens,
            do_sample=False,
            stopping_criteria=StoppingCriteriaList([stamps]),
        )
        return [later - earlier for earlier, later in zip(stamps.times, stamps.times[1:], strict=False)]


def prompts(count: int, length: int, vocabulary: int = CONFIG["vocab_size"]) -> list[list[int]]:
    drawn = torch.randint(0, vocabulary, (count, length), generator=torch.Generator().manual_seed(1))
    rows: list[list[int]] = drawn.tolist()
    return rows


def read_bandwidth(buffer: torch.Tensor) -> float:
    """Bytes per second of reading `buffer` once, all threads; it must be far larger than the caches."""
    begun = time.perf_counter()
    buffer.sum()
    return buffer.nbytes / (time.perf_counter() - begun)
