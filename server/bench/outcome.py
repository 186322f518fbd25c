"""What became of one request."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Outcome:
    """Times are seconds; `started` counts from the beginning of the run."""

    started: float
    error: str = ""
    """Empty for a request that was answered."""

    seconds: float = 0.0
    """From sending to the last byte: E2E."""

    first_token: float | None = None
    """TTFT; None for an answer that came whole."""

    gaps: list[float] = field(default_factory=list)
    """Between successive pieces of the answer: ITL."""

    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    text: str = ""

    @property
    def per_token(self) -> float | None:
        """TPOT: the mean time of a token after the first; None with fewer than two."""
        if self.first_token is None or self.num_output_tokens < 2:
            return None
        return (self.seconds - self.first_token) / (self.num_output_tokens - 1)
