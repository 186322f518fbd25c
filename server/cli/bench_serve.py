"""`paddock bench serve`: a running server under load."""

import sys
from collections.abc import Mapping, Sequence

from paddock.server.cli.arguments import FAILED, USAGE_ERROR

INTERRUPTED = 130


def bench_serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Measure and print; the exit status."""
    from paddock.server.bench.errors import BenchError
    from paddock.server.bench.serve import ServeBench
    from paddock.server.bench.serve_options import new_parser

    options = new_parser().parse_args(argv)
    try:
        bench = ServeBench(options, environ)
    except BenchError as error:
        print(f"paddock bench serve: {error}.", file=sys.stderr)
        return USAGE_ERROR
    try:
        summary = bench.run()
    except BenchError as error:
        print(f"paddock bench serve: {error}.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    from paddock.server.bench.report import report

    print(report(summary, options.percentile_metrics, options.metric_percentiles))
    return 0 if summary.completed else FAILED
