"""The sampling parameters of one request, as they travel from the API server to the engine."""

from typing import Any

import msgspec

from paddock.engine.structured_output.constraint import Constraint


class SamplingParams(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How the tokens of one sequence are chosen and when the sequence ends.

    Values are checked where they enter (the API server, with the field's name in the error), so the engine
    may rely on their ranges. `n` choices are `n` requests; stop strings are matched on text by the API
    server; both therefore do not appear here.
    """

    max_tokens: int
    """Most tokens to generate, at least 1; the API server has already cut it to what the context holds."""

    min_tokens: int = 0
    """Until this many tokens exist, EOS and `stop_token_ids` are given no probability."""

    temperature: float = 1.0
    """0 means greedy."""

    top_p: float = 1.0
    top_k: int = 0
    """0 means all tokens."""

    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0

    seed: int | None = None
    """None lets the engine draw one; a seeded request gives the same tokens alone, batched or preempted."""

    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logit_bias: dict[int, float] = {}

    logprobs: int | None = None
    """Top log-probabilities to report for each generated token; 0 reports the sampled one alone, -1 all."""

    prompt_logprobs: int | None = None
    """The same for each prompt token but the first; such a request does not read the prefix cache."""

    allowed_token_ids: tuple[int, ...] = ()
    """Where there are any, no other token is chosen."""

    bad_words: tuple[tuple[int, ...], ...] = ()
    """Token sequences that are never completed in the output."""

    logits_processors: dict[str, dict[str, Any]] = {}
    """Dotted paths of processors that this request names, each with arguments for it, beside the server's own."""

    constraint: Constraint | None = None
    """The form of the output: until it may end, EOS is forbidden, and where it can only end, `min_tokens` yields."""

    extra_args: dict[str, Any] = {}
    """Free values for custom logits processors and schedulers; the engine itself reads none of them."""
