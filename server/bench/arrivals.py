"""When requests start: a gamma process around a rate, which may rise over the run."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RampUp:
    strategy: Literal["linear", "exponential"]
    start: float
    end: float
    """Requests per second."""

    def rate(self, share: float) -> float:
        """The rate once this share of the requests has started, 0 to 1."""
        if self.strategy == "linear":
            return self.start + (self.end - self.start) * share
        growth: float = (self.end / self.start) ** share
        return self.start * growth


def start_times(
    count: int, rate: float, burstiness: float, ramp_up: RampUp | None, draw: random.Random
) -> Sequence[float]:
    """Seconds from the start of the run, rising, one for each request.

    Gaps follow a gamma distribution with shape `burstiness` and mean 1 / rate: 1 makes a Poisson process, less is
    burstier, more is steadier. An infinite rate starts all at once.
    """
    times: list[float] = []
    now = 0.0
    for at in range(count):
        times.append(now)
        current = rate if ramp_up is None else ramp_up.rate(at / max(1, count - 1))
        if not math.isinf(current):
            now += draw.gammavariate(burstiness, 1 / (current * burstiness))
    return times
