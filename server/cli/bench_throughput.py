"""`paddock bench throughput`: the engine by itself, a pile of requests."""

from collections.abc import Mapping, Sequence

from paddock.server.cli.arguments import CommandParser, WrappedHelp, whole
from paddock.server.cli.benchmark_run import Measured, profile_at, run_benchmark
from paddock.server.cli.engine_arguments import EPILOG, read_engine_arguments

COMMAND = "bench throughput"
DATASETS = ("sharegpt", "random", "sonnet", "burstgpt", "hf", "prefix_repetition")


def bench_throughput(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Measure and print; the exit status."""
    options, words = _parser().parse_known_args(argv)
    given = read_engine_arguments(COMMAND, words, environ, {("frontend", "disable_frontend_multiprocessing")})
    from paddock.server.bench.throughput import PROFILE_FILE, measure
    from paddock.server.bench.throughput_flags import check

    def measured(_: None) -> Measured:
        result = measure(options, given.config)
        return profile_at(PROFILE_FILE) if result is None else Measured(result.report())

    return run_benchmark(COMMAND, lambda: check(options, given), measured)


def _parser() -> CommandParser:
    from paddock.server.bench.dataset_options import add_hub_flags, add_prefix_repetition, share

    parser = CommandParser(
        COMMAND,
        "Measure how fast a pile of requests is worked off, without a server.",
        usage="paddock bench throughput MODEL [options] [--engine-flags]",
        epilog=EPILOG,
        formatter_class=WrappedHelp,
    )
    add = parser.add_argument
    add("--backend", choices=("vllm", "hf", "mii", "vllm-chat"), default="vllm", help="what is measured: this engine "
        "(vllm), it with prompts in the chat template (vllm-chat), or transformers (hf); mii is refused")  # fmt: skip
    add("--async-engine", action="store_true", help="drive the engine by messages, as the API server does; "
        "--disable-frontend-multiprocessing puts both into one process")  # fmt: skip
    add("--num-prompts", type=whole(1), default=1000, metavar="N", help="number of prompts (%(default)s)")
    add("--n", type=whole(1), default=1, metavar="N", help="outputs per prompt (%(default)s)")
    add("--hf-max-batch-size", type=whole(1), metavar="N", help="batch size of --backend hf")
    add("--disable-detokenize", action="store_true", help="leave tokens as ids")
    add("--lora-path", metavar="FOLDER", help="refused: adapters are not supported yet")
    add("--profile", action="store_true", help="write a trace of the run, measure nothing")
    add("--output-json", metavar="FILE", help="write the result here")
    group = parser.add_argument_group("data set")
    add = group.add_argument
    add("--dataset-name", choices=DATASETS, default="sharegpt", help="where prompts come from (%(default)s); hf is "
        "refused")  # fmt: skip
    add("--dataset-path", metavar="FILE", help="file of the data set")
    add("--dataset", metavar="FILE", help="deprecated: use --dataset-path")
    add("--input-len", type=whole(1), metavar="N", help="prompt length, for random and sonnet")
    add("--output-len", type=whole(1), metavar="N", help="output length instead of the recorded one")
    add("--prefix-len", type=whole(0), default=0, metavar="N", help="shared tokens before each prompt")
    add(
        "--random-range-ratio",
        type=share,
        default=0.0,
        metavar="X",
        help="lengths of random prompts vary by this share",
    )
    add_prefix_repetition(group)
    add_hub_flags(group, ("hf_subset", "hf_split"))
    return parser
