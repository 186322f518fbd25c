"""Flags of `paddock bench serve` that contradict each other, or cannot work here."""

import argparse
import math
import sys
from pathlib import Path

from paddock.server.bench.arrivals import RampUp
from paddock.server.bench.dataset import check_name
from paddock.server.bench.dataset_options import refuse_hub_flags
from paddock.server.bench.errors import BenchError
from paddock.server.bench.plot import check_plot


def api_name(options: argparse.Namespace) -> str:
    """--backend, or what its older flag says. Raises BenchError."""
    if options.endpoint_type is not None:
        print("--endpoint-type is deprecated: use --backend", file=sys.stderr)
        if options.backend not in (None, options.endpoint_type):
            raise BenchError(
                f"--endpoint-type {options.endpoint_type} contradicts --backend {options.backend}"
            )
    backend: str = options.backend or options.endpoint_type or "openai"
    if backend == "openai-audio":
        raise BenchError("--backend openai-audio: no model that hears is served")
    return backend


def local_tokenizer(options: argparse.Namespace) -> str | None:
    """Folder or hub name; None leaves counting to the server's own."""
    name: str | None = options.tokenizer
    if name is None and options.model is not None and Path(options.model).is_dir():
        return str(options.model)
    return name


def check(options: argparse.Namespace, backend: str) -> None:
    """Raises BenchError for the first flag that cannot be followed."""
    check_name(options.dataset_name)
    refuse_hub_flags(options)
    check_plot(options.plot)
    if options.trust_remote_code and local_tokenizer(options) is None:
        raise BenchError("--trust-remote-code is for the code of a tokenizer: name one with --tokenizer")
    if options.tokenizer_mode != "auto":
        raise BenchError(
            f"--tokenizer-mode {options.tokenizer_mode}: a tokenizer is read from its tokenizer.json; use auto"
        )
    if (
        options.burstiness is not None
        and options.request_rate in (None, math.inf)
        and not options.ramp_up_strategy
    ):
        raise BenchError("--burstiness shapes the gaps between requests; give a finite --request-rate, too")
    embeds = backend == "openai-embeddings"
    if options.random_batch_size > 1 and not (embeds and options.dataset_name == "random"):
        raise BenchError("--random-batch-size is for --backend openai-embeddings and random prompts")
    if embeds and (options.logprobs is not None or options.use_beam_search or options.ignore_eos):
        raise BenchError("--logprobs, --use-beam-search and --ignore-eos are of no use for embeddings")
    if options.save_detailed and not (options.save_result or options.append_result):
        raise BenchError("--save-detailed adds to a file: give --save-result, too")
    if (options.result_dir or options.result_filename) and not (options.save_result or options.append_result):
        raise BenchError("--result-dir and --result-filename name a file: give --save-result, too")


def ramp_up(options: argparse.Namespace) -> RampUp | None:
    """None where the rate stays the same. Raises BenchError."""
    start, end = options.ramp_up_start_rps, options.ramp_up_end_rps
    if options.ramp_up_strategy is None:
        if start is not None or end is not None:
            raise BenchError("--ramp-up-start-rps and --ramp-up-end-rps need --ramp-up-strategy")
        return None
    if options.request_rate is not None:
        raise BenchError("--ramp-up-strategy sets the rate: leave out --request-rate")
    if start is None or end is None or start > end:
        raise BenchError(
            "--ramp-up-strategy needs --ramp-up-start-rps and a --ramp-up-end-rps that is not lower"
        )
    return RampUp(options.ramp_up_strategy, start, end)
