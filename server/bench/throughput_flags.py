"""Flags of `paddock bench throughput` that contradict each other, or cannot work here."""

import argparse
import sys
from pathlib import Path

from paddock.engine.config.layer import Sourced
from paddock.server.bench import result_file
from paddock.server.bench.dataset import check_name
from paddock.server.bench.dataset_options import refuse_hub_flags
from paddock.server.bench.errors import BenchError
from paddock.server.bench.offline_setup import check_one_engine, check_profile
from paddock.server.cli.engine_arguments import TYPED

FOR_TRANSFORMERS = {("model", "model"), ("model", "tokenizer"), ("model", "dtype"), ("service", "config")}
"""Engine arguments that `--backend hf` can follow."""


def check(options: argparse.Namespace, given: Sourced) -> None:
    """What can be told before the model is loaded. Raises BenchError."""
    check_name(options.dataset_name)
    refuse_hub_flags(options)
    if options.output_json is not None:
        result_file.check_folder(Path(options.output_json), "--output-json")
    if options.backend == "mii":
        raise BenchError("--backend mii: that engine is not part of this; use vllm, vllm-chat or hf")
    if options.lora_path is not None:
        raise BenchError("--lora-path: adapters are not supported yet; leave it out")
    _check_engine(options, given)
    _check_dataset(options)


def _check_engine(options: argparse.Namespace, given: Sourced) -> None:
    is_hf = options.backend == "hf"
    if is_hf != (options.hf_max_batch_size is not None):
        raise BenchError("--hf-max-batch-size and --backend hf need each other")
    foreign = [
        name for name, source in given.sources.items() if source in TYPED and name not in FOR_TRANSFORMERS
    ]
    if is_hf and (foreign or options.async_engine or options.profile or options.disable_detokenize):
        name = (
            f"--{foreign[0][1].replace('_', '-')}"
            if foreign
            else "--async-engine, --profile or --disable-detokenize"
        )
        raise BenchError(f"{name}: --backend hf runs transformers, not this engine; leave it out")
    if given.config.frontend.disable_frontend_multiprocessing and not options.async_engine:
        raise BenchError(
            "--disable-frontend-multiprocessing concerns --async-engine; the other is one process anyway"
        )
    if options.profile and options.async_engine:
        raise BenchError("--profile looks into this process: leave out --async-engine")
    if options.profile:
        check_profile(given.config)
    check_one_engine(given.config)


def _check_dataset(options: argparse.Namespace) -> None:
    name = options.dataset_name
    if options.dataset is not None:
        print("--dataset is deprecated: use --dataset-path", file=sys.stderr)
        if options.dataset_path is not None:
            raise BenchError("--dataset and --dataset-path are the same: give one")
        options.dataset_path = options.dataset
    if name == "random" and (options.input_len is None or options.output_len is None):
        raise BenchError("--dataset-name random needs --input-len and --output-len")
    if options.input_len is not None and name not in ("random", "sonnet"):
        raise BenchError(
            f"--input-len: prompts of --dataset-name {name} have lengths of their own; leave it out"
        )
    if options.output_len is not None and name in ("burstgpt", "prefix_repetition"):
        raise BenchError(f"--output-len: --dataset-name {name} has lengths of its own; leave it out")
    if options.prefix_len and name not in ("random", "sonnet"):
        raise BenchError(
            f"--prefix-len is for random and sonnet, not for --dataset-name {name}; leave it out"
        )
    if options.random_range_ratio and name != "random":
        raise BenchError(f"--random-range-ratio is for random, not for --dataset-name {name}; leave it out")
    if options.dataset_path is None and name not in ("random", "prefix_repetition"):
        raise BenchError(
            f"--dataset-name {name} needs a file: name it with --dataset-path, or use --dataset-name random "
            "--input-len N --output-len N"
        )
    if options.dataset_path is not None and name in ("random", "prefix_repetition"):
        raise BenchError(f"--dataset-path: --dataset-name {name} reads no file; leave it out")
