"""From outcomes to numbers: rates, and mean, median, deviation and percentiles of each time."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddock.server.bench.outcome import Outcome

TIMES = {
    "ttft": "Time to first token",
    "tpot": "Time per output token, without the first",
    "itl": "Gap between pieces",
    "e2el": "End to end",
}
Values = Callable[[Outcome], Sequence[float]]


def _known(value: float | None) -> Sequence[float]:
    return () if value is None else (value,)


VALUES: Mapping[str, Values] = {
    "ttft": lambda outcome: _known(outcome.first_token),
    "tpot": lambda outcome: _known(outcome.per_token),
    "itl": lambda outcome: outcome.gaps,
    "e2el": lambda outcome: (outcome.seconds,),
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds."""

    mean: float
    median: float
    std: float
    percentiles: Mapping[float, float]

    @staticmethod
    def of(seconds: Sequence[float], wanted: Sequence[float]) -> "Spread":
        """Of at least one value."""
        values = sorted(1000 * each for each in seconds)
        return Spread(
            statistics.fmean(values),
            percentile(values, 50),
            statistics.pstdev(values),
            {each: percentile(values, each) for each in wanted},
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Rates are per second. Times are of the requests that were answered."""

    duration: float
    completed: int
    failed: int
    num_prompt_tokens: int
    num_output_tokens: int
    spreads: Mapping[str, Spread]
    """By the names in TIMES; one without a value is left out."""

    goodput: float | None
    errors: Mapping[str, int]

    @property
    def request_throughput(self) -> float:
        return self.completed / self.duration

    @property
    def output_throughput(self) -> float:
        return self.num_output_tokens / self.duration

    def as_json(self, shown: Sequence[str]) -> dict[str, Any]:
        """Under the names that readers of such files know."""
        result: dict[str, Any] = {
            "duration": self.duration,
            "completed": self.completed,
            "failed": self.failed,
            "total_input_tokens": self.num_prompt_tokens,
            "total_output_tokens": self.num_output_tokens,
            "request_throughput": self.request_throughput,
            "request_goodput": self.goodput,
            "output_throughput": self.output_throughput,
            "total_token_throughput": (self.num_prompt_tokens + self.num_output_tokens) / self.duration,
        }
        for name in shown:
            if (spread := self.spreads.get(name)) is not None:
                result |= {f"mean_{name}_ms": spread.mean, f"median_{name}_ms": spread.median}
                result |= {f"std_{name}_ms": spread.std}
                result |= {f"p{each:g}_{name}_ms": value for each, value in spread.percentiles.items()}
        return result


def summarize(
    outcomes: Sequence[Outcome],
    duration: float,
    percentiles: Sequence[float],
    targets: Mapping[str, float] | None = None,
) -> Summary:
    """`targets` are the most milliseconds of each time that a good request takes."""
    answered = [outcome for outcome in outcomes if not outcome.error]
    spreads = {}
    for name, values in VALUES.items():
        seconds = [value for outcome in answered for value in values(outcome)]
        if seconds:
            spreads[name] = Spread.of(seconds, percentiles)
    return Summary(
        duration=duration,
        completed=len(answered),
        failed=len(outcomes) - len(answered),
        num_prompt_tokens=sum(outcome.num_prompt_tokens for outcome in answered),
        num_output_tokens=sum(outcome.num_output_tokens for outcome in answered),
        spreads=spreads,
        goodput=sum(is_good(outcome, targets) for outcome in answered) / duration if targets else None,
        errors=Counter(outcome.error for outcome in outcomes if outcome.error),
    )


def is_good(outcome: Outcome, targets: Mapping[str, float]) -> bool:
    """Whether a request met every target. A time that it has not, such as the second token's, misses none."""
    return all(1000 * value <= most for name, most in targets.items() for value in VALUES[name](outcome))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Linear between the two nearest of at least one value, which rise."""
    place = (len(ordered) - 1) * percent / 100
    below, above = math.floor(place), math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
