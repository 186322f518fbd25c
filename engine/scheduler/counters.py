"""What the scheduler has counted since it started."""

from dataclasses import astuple, dataclass


@dataclass(slots=True)
class Counters:
    prefix_cache_queries: int = 0
    """Prompt tokens looked up, once per request that may read the cache."""
    prefix_cache_hits: int = 0
    num_preemptions: int = 0
    num_prompt_tokens: int = 0
    """Prompt tokens computed for the first time."""
    num_generation_tokens: int = 0

    def copy(self) -> "Counters":
        return Counters(*astuple(self))

    def since(self, earlier: "Counters") -> "Counters":
        return Counters(*(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True)))
