"""`paddock bench serve`: a running server under load."""

from collections.abc import Mapping, Sequence

from paddock.server.cli.benchmark_run import Measured, run_benchmark


def bench_serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Measure and print; the exit status."""
    from paddock.server.bench.report import report
    from paddock.server.bench.serve import ServeBench
    from paddock.server.bench.serve_options import new_parser

    options = new_parser().parse_args(argv)

    def measured(bench: ServeBench) -> Measured:
        summary = bench.run()
        text = report(summary, options.percentile_metrics, options.metric_percentiles)
        return Measured(text, succeeded=bool(summary.completed))

    return run_benchmark("bench serve", lambda: ServeBench(options, environ), measured)
