"""`paddock bench latency`: repetitions of one batch of equal requests."""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from paddock.engine.config import ServeConfig
from paddock.engine.config.layer import Sourced
from paddock.engine.sampling.params import SamplingParams
from paddock.server.bench import result_file
from paddock.server.bench.errors import BenchError
from paddock.server.bench.offline import OfflineEngine
from paddock.server.bench.offline_setup import Model, check_one_engine, check_profile, profiled
from paddock.server.bench.plot import check_plot, plot_repetitions
from paddock.server.bench.summary import percentile

PERCENTILES = (10, 25, 50, 75, 90, 99)
PROFILE_FILE = Path("paddock-bench-latency.trace.json")


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of each counted repetition."""

    seconds: Sequence[float]
    num_tokens: int
    """Output tokens of one repetition."""

    @property
    def mean(self) -> float:
        return sum(self.seconds) / len(self.seconds)

    def percentiles(self) -> dict[int, float]:
        ordered = sorted(self.seconds)
        return {each: percentile(ordered, each) for each in PERCENTILES}

    def as_json(self) -> dict[str, Any]:
        return {
            "avg_latency": self.mean,
            "latencies": list(self.seconds),
            "percentiles": {str(each): value for each, value in self.percentiles().items()},
        }

    def report(self) -> str:
        lines = [f"Mean latency        {self.mean:.4f} s ({self.num_tokens / self.mean:.1f} output tokens/s)"]
        return "\n".join(
            [
                *lines,
                *(f"{f'{each}% percentile':<20}{value:.4f} s" for each, value in self.percentiles().items()),
            ]
        )


def without_prefix_cache(given: Sourced) -> ServeConfig:
    """Equal prompts would all but the first be answered from the cache: it is off unless asked for."""
    config = given.config
    if ("cache", "enable_prefix_caching") in given.sources:
        return config
    cache = config.cache.model_copy(update={"enable_prefix_caching": False})
    return config.model_copy(update={"cache": cache})


def check(options: argparse.Namespace, config: ServeConfig) -> None:
    """What can be told before the model is loaded. Raises BenchError."""
    check_plot(options.plot)
    if options.output_json is not None:
        result_file.check_folder(Path(options.output_json), "--output-json")
    if options.profile:
        check_profile(config)
    check_one_engine(config)


def measure(options: argparse.Namespace, config: ServeConfig) -> Latency | None:
    """Load the model and measure; None after a profile. Raises BenchError."""
    model = Model.read(config)
    engine = model.engine(detokenize=not options.disable_detokenize)
    try:
        repeat = _repetition(options, engine)
        for _ in tqdm(range(options.num_iters_warmup), desc="warm-up", unit="batch"):
            repeat()
        if options.profile:
            with profiled(PROFILE_FILE):
                repeat()
            return None
        seconds = []
        for _ in tqdm(range(options.num_iters), desc="measuring", unit="batch"):
            began = time.perf_counter()
            repeat()
            seconds.append(time.perf_counter() - began)
    finally:
        engine.close()
    latency = Latency(seconds, options.batch_size * options.n * options.output_len)
    if options.output_json is not None:
        result_file.write(Path(options.output_json), latency.as_json())
    if options.plot is not None:
        plot_repetitions(options.plot, seconds, f"{config.model.model}: batch of {options.batch_size}")
    return latency


def _repetition(options: argparse.Namespace, engine: OfflineEngine) -> Callable[[], object]:
    """One batch, to be called again and again."""
    settings = engine.settings
    if options.input_len + options.output_len > settings.max_model_len:
        raise BenchError(
            f"--input-len {options.input_len} and --output-len {options.output_len} exceed the context of "
            f"{settings.max_model_len} tokens"
        )
    draw = random.Random(settings.seed)
    prompts = [
        draw.choices(range(settings.vocab_size), k=options.input_len) for _ in range(options.batch_size)
    ]
    if options.use_beam_search:
        return lambda: engine.search_beams(prompts, options.n, options.output_len)
    sampling = SamplingParams(max_tokens=options.output_len, ignore_eos=True)
    requests = [(prompt, sampling) for prompt in prompts for _ in range(options.n)]
    return lambda: engine.generate(requests)
