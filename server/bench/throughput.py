"""`paddock bench throughput`: how fast a pile of requests is worked off."""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never, Self

from tqdm import tqdm

from paddock.engine.config import ServeConfig
from paddock.engine.sampling.params import SamplingParams
from paddock.server.bench import result_file
from paddock.server.bench.dataset import Workload
from paddock.server.bench.dataset_options import repeated_lengths
from paddock.server.bench.lengths import DEFAULTS, Lengths
from paddock.server.bench.offline_setup import Model, profiled
from paddock.server.bench.sample import Sample
from paddock.server.bench.tokens import LocalTokens

PROFILE_FILE = Path("paddock-bench-throughput.trace.json")
Prompt = tuple[list[int], int]
"""Token ids, and how many to generate."""


@dataclass(frozen=True, slots=True)
class Throughput:
    seconds: float
    num_requests: int
    num_prompt_tokens: int
    num_output_tokens: int

    @property
    def num_tokens(self) -> int:
        return self.num_prompt_tokens + self.num_output_tokens

    def as_json(self) -> dict[str, Any]:
        return {
            "elapsed_time": self.seconds,
            "num_requests": self.num_requests,
            "total_num_tokens": self.num_tokens,
            "requests_per_second": self.num_requests / self.seconds,
            "tokens_per_second": self.num_tokens / self.seconds,
            "output_tokens_per_second": self.num_output_tokens / self.seconds,
        }

    def report(self) -> str:
        return (
            f"Requests            {self.num_requests} in {self.seconds:.2f} s ({self.num_requests / self.seconds:.2f}/s)\n"
            f"Tokens/s            {self.num_tokens / self.seconds:.1f}\n"
            f"Output tokens/s     {self.num_output_tokens / self.seconds:.1f}"
        )


def measure(options: argparse.Namespace, config: ServeConfig) -> Throughput | None:
    """Load the model and measure; None after a profile. Raises BenchError."""
    model = Model.read(config)
    prompts = _prompts(options, model)
    run = RUNS["hf" if options.backend == "hf" else "async" if options.async_engine else "sync"]
    result = run(options, model, prompts)
    if result is not None and options.output_json is not None:
        result_file.write(Path(options.output_json), result.as_json())
    return result


def _prompts(options: argparse.Namespace, model: Model) -> list[Prompt]:
    """Prompts as token ids, each repeated for its outputs."""
    tokens = LocalTokens(model.assets.tokenizer)
    samples = _workload(options, model.config).samples(tokens)

    def token_ids(sample: Sample) -> list[int]:
        if options.backend == "vllm-chat":
            text = tokens.decode(sample.token_ids or []) if sample.text is None else sample.text
            return tokens.encode_chat(text)
        if sample.token_ids is not None:
            return sample.token_ids
        return model.assets.tokenizer.encode(sample.text or "", add_special_tokens=True)

    return [(token_ids(sample), sample.output_len) for sample in samples]


def _workload(options: argparse.Namespace, config: ServeConfig) -> Workload:
    def given(name: str, default: int) -> int:
        value: int | None = getattr(options, name)
        return default if value is None else value

    lengths = Lengths(
        random_input=given("input_len", DEFAULTS.random_input),
        random_output=given("output_len", DEFAULTS.random_output),
        random_prefix=options.prefix_len,
        random_range_ratio=options.random_range_ratio,
        sharegpt_output=options.output_len,
        sonnet_input=given("input_len", DEFAULTS.sonnet_input),
        sonnet_output=given("output_len", DEFAULTS.sonnet_output),
        sonnet_prefix=options.prefix_len or DEFAULTS.sonnet_prefix,
        **repeated_lengths(options),
    )
    return Workload(
        options.dataset_name, options.dataset_path, options.num_prompts, lengths, config.model.seed or 0
    )


def _requests(
    options: argparse.Namespace, prompts: Sequence[Prompt]
) -> list[tuple[list[int], SamplingParams]]:
    return [
        (token_ids, SamplingParams(max_tokens=num_output, ignore_eos=True))
        for token_ids, num_output in prompts
        for _ in range(options.n)
    ]


def _run_sync(options: argparse.Namespace, model: Model, prompts: Sequence[Prompt]) -> Throughput | None:
    engine = model.engine(detokenize=not options.disable_detokenize)
    requests = _requests(options, prompts)
    try:
        if options.profile:
            with profiled(PROFILE_FILE):
                engine.generate(requests)
            return None
        with _Count(options, prompts) as count:
            engine.generate(requests, count.add)
    finally:
        engine.close()
    return count.throughput()


def _run_async(options: argparse.Namespace, model: Model, prompts: Sequence[Prompt]) -> Throughput:
    from paddock.engine.models.shape import ModelShape
    from paddock.engine.settings import EngineSettings
    from paddock.server.bench.async_engine import AsyncEngine

    path = model.assets.model_path
    settings = EngineSettings.resolve(model.config, ModelShape.read(path, model.config.model))

    async def run() -> Throughput:
        tokenizer = None if options.disable_detokenize else model.assets.tokenizer
        engine = AsyncEngine(model.config, path, tokenizer, settings.max_num_seqs + settings.max_waiting)
        try:
            await engine.ready()
            with _Count(options, prompts) as count:
                await engine.generate(_requests(options, prompts), count.add)
        finally:
            await engine.close()
        return count.throughput()

    return asyncio.run(run())


def _run_hf(options: argparse.Namespace, model: Model, prompts: Sequence[Prompt]) -> Throughput:
    from paddock.server.bench.transformers_generate import Generator

    generator = Generator(model.config, model.assets.model_path, options.n)
    size = options.hf_max_batch_size
    with _Count(options, prompts) as count:
        for at in range(0, len(prompts), size):
            for num_output in generator.generate(prompts[at : at + size]):
                count.add(num_output)
    return count.throughput()


RUNS: dict[str, Callable[[argparse.Namespace, Model, Sequence[Prompt]], Throughput | None]] = {
    "sync": _run_sync,
    "async": _run_async,
    "hf": _run_hf,
}


class _Count:
    """The clock, the progress bar and the tokens of a run."""

    def __init__(self, options: argparse.Namespace, prompts: Sequence[Prompt]) -> None:
        self._num_prompts = len(prompts)
        self._num_prompt_tokens = sum(len(token_ids) for token_ids, _ in prompts)
        self._num_output_tokens = 0
        self._progress: tqdm[Never] = tqdm(total=len(prompts) * options.n, unit="output")

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = time.perf_counter() - self._began
        self._progress.close()

    def add(self, num_output_tokens: int) -> None:
        self._num_output_tokens += num_output_tokens
        self._progress.update()

    def throughput(self) -> Throughput:
        return Throughput(self._seconds, self._num_prompts, self._num_prompt_tokens, self._num_output_tokens)
