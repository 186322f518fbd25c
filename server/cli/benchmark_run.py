"""What every benchmark does around its measuring: refuse what cannot be measured, print, and say how it ended."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from paddock.server.cli.arguments import FAILED, USAGE_ERROR

INTERRUPTED = 130
Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class Measured:
    text: str
    succeeded: bool = True


def run_benchmark(
    command: str, prepare: Callable[[], Prepared], measure: Callable[[Prepared], Measured]
) -> int:
    """The exit status. `prepare` raises BenchError for a wrong use, `measure` for a run that failed."""
    from paddock.server.bench.errors import BenchError

    failure = USAGE_ERROR
    try:
        prepared = prepare()
        failure = FAILED
        found = measure(prepared)
    except BenchError as error:
        print(f"paddock {command}: {error}.", file=sys.stderr)
        return failure
    except KeyboardInterrupt:
        return INTERRUPTED
    print(found.text)
    return 0 if found.succeeded else FAILED


def profile_at(path: object) -> Measured:
    """Of a run that was watched and not timed."""
    return Measured(f"profile: {path} (open it at ui.perfetto.dev)")
