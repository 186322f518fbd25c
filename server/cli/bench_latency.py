"""`paddock bench latency`: the engine by itself, one batch at a time."""

from collections.abc import Mapping, Sequence

from paddock.server.cli.arguments import CommandParser, WrappedHelp, whole
from paddock.server.cli.benchmark_run import Measured, profile_at, run_benchmark
from paddock.server.cli.engine_arguments import EPILOG, read_engine_arguments

COMMAND = "bench latency"


def bench_latency(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Measure and print; the exit status."""
    options, words = _parser().parse_known_args(argv)
    given = read_engine_arguments(COMMAND, words, environ, ())
    from paddock.server.bench.latency import PROFILE_FILE, check, measure, without_prefix_cache

    config = without_prefix_cache(given)

    def measured(_: None) -> Measured:
        latency = measure(options, config)
        return profile_at(PROFILE_FILE) if latency is None else Measured(latency.report())

    return run_benchmark(COMMAND, lambda: check(options, config), measured)


def _parser() -> CommandParser:
    parser = CommandParser(
        COMMAND,
        "Measure how long one batch of equal requests takes, without a server. Prefix caching is off unless "
        "--enable-prefix-caching is given.",
        usage="paddock bench latency MODEL [options] [--engine-flags]",
        epilog=EPILOG,
        formatter_class=WrappedHelp,
    )
    lengths = {
        "input-len": (1, 32, "prompt length"),
        "output-len": (1, 128, "output length"),
        "batch-size": (1, 8, "requests in the batch"),
        "n": (1, 1, "outputs per prompt; with --use-beam-search the width"),
        "num-iters-warmup": (0, 10, "uncounted repetitions first"),
        "num-iters": (1, 30, "counted repetitions"),
    }
    for name, (least, default, meaning) in lengths.items():
        parser.add_argument(
            f"--{name}", type=whole(least), default=default, metavar="N", help=f"{meaning} (%(default)s)"
        )
    parser.add_argument("--use-beam-search", action="store_true", help="decode by beam search")
    parser.add_argument("--disable-detokenize", action="store_true", help="leave tokens as ids")
    parser.add_argument(
        "--profile", action="store_true", help="write a trace of one repetition, measure nothing"
    )
    parser.add_argument("--output-json", metavar="FILE", help="write the result here")
    parser.add_argument("--plot", metavar="FILE", help="draw the repetitions as a PNG")
    return parser
