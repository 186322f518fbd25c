"""One request of a workload, before it is written for an API."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """`text` is None where a data set is made of token ids; `token_ids` is None where only text is known."""

    output_len: int
    """Tokens to ask for."""

    text: str | None = None
    token_ids: list[int] | None = None
    more_inputs: tuple[list[int], ...] = ()
    """Further inputs of an embedding request."""
