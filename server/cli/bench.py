"""`paddock bench`: choose the benchmark."""

import sys
from collections.abc import Mapping, Sequence

from paddock.server.cli.arguments import USAGE_ERROR

USAGE = """\
usage: paddock bench serve|latency|throughput [--flags]

  serve        send a workload to a running server; throughput and latency
  latency      how long one batch of equal requests takes, without a server
  throughput   how fast a pile of requests is worked off, without a server

paddock bench NAME --help lists the flags.
"""


def bench(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a benchmark; the exit status."""
    name = argv[0] if argv else ""
    if name in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if name == "serve":
        from paddock.server.cli.bench_serve import bench_serve

        return bench_serve(argv[1:], environ)
    if name == "latency":
        from paddock.server.cli.bench_latency import bench_latency

        return bench_latency(argv[1:], environ)
    if name == "throughput":
        from paddock.server.cli.bench_throughput import bench_throughput

        return bench_throughput(argv[1:], environ)
    wrong = f"{name!r} is no benchmark" if name else "name a benchmark"
    print(f"paddock bench: {wrong}; there are: serve, latency, throughput.", file=sys.stderr)
    return USAGE_ERROR
