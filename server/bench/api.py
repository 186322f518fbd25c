"""How a sample is written for each API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paddock.server.bench.errors import BenchError
from paddock.server.bench.sample import Sample
from paddock.server.bench.tokens import Tokens

CHAT_ENDPOINT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What all requests of a run have in common."""

    backend: str
    sampling: Mapping[str, Any] = field(default_factory=dict)
    logprobs: int | None = None
    use_beam_search: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def body(self, model: str, sample: Sample) -> dict[str, Any]:
        """The JSON body; the fields of `extra_body` win."""
        return {"model": model, **WRITERS[self.backend](self, sample), **self.extra_body}


def as_sent(backend: str, samples: list[Sample], tokens: Callable[[], Tokens]) -> list[Sample]:
    """Samples in the form that the API takes: a chat needs text where a data set is made of token ids."""
    if backend != "openai-chat":
        return samples
    return [
        sample
        if sample.text is not None
        else Sample(sample.output_len, tokens().decode(sample.token_ids or []))
        for sample in samples
    ]


def check_endpoint(backend: str, endpoint: str) -> None:
    """Raises BenchError when an API's requests would go to another's route."""
    ending = {"openai-chat": "chat/completions", "openai-embeddings": "embeddings"}.get(
        backend, "completions"
    )
    is_chat = endpoint.endswith("chat/completions")
    if not endpoint.endswith(ending) or (ending == "completions" and is_chat):
        raise BenchError(f"--endpoint {endpoint}: --backend {backend} needs a path that ends in /{ending}")


def _completion(settings: RequestSettings, sample: Sample) -> dict[str, Any]:
    prompt = sample.text if sample.token_ids is None else sample.token_ids
    return {"prompt": prompt, "logprobs": settings.logprobs, **_generation(settings, sample)}


def _chat(settings: RequestSettings, sample: Sample) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": sample.text}], **_generation(settings, sample)}
    if settings.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": settings.logprobs}
    return body


def _embedding(settings: RequestSettings, sample: Sample) -> dict[str, Any]:
    one = sample.text if sample.token_ids is None else sample.token_ids
    return {"input": [one, *sample.more_inputs] if sample.more_inputs else one}


def _generation(settings: RequestSettings, sample: Sample) -> dict[str, Any]:
    common = {"max_tokens": sample.output_len, **settings.sampling}
    if settings.use_beam_search:  # the best text is known at the end only
        return {**common, "use_beam_search": True}
    return {**common, "stream": True, "stream_options": {"include_usage": True}}


WRITERS: dict[str, Callable[[RequestSettings, Sample], dict[str, Any]]] = {
    "openai": _completion,
    "vllm": _completion,
    "openai-chat": _chat,
    "openai-embeddings": _embedding,
}
