"""What a server without a tokenizer makes of a request."""

from typing import TypeVar

from paddock.server.protocol.common import GenerationRequest
from paddock.server.serving import Serving
from paddock.server.tokens.absent import NoTokenizer, no_text

Request = TypeVar("Request", bound=GenerationRequest)


def as_served(request: Request, serving: Serving) -> Request:
    """Without a tokenizer every answer carries token ids. Raises ApiError 400 for what needs text."""
    if not isinstance(serving.tokenizer, NoTokenizer):
        return request
    if request.stop:
        raise no_text("it sees no text to stop at; use stop_token_ids", "stop")
    if request.bad_words:
        raise no_text("words cannot be made into tokens; use logit_bias", "bad_words")
    if request.constraint() is not None:
        raise no_text("no text can be constrained; use allowed_token_ids", _constraining_field(request))
    if hasattr(request, "messages"):
        raise no_text("send the prompt as token ids to /v1/completions", "messages")
    return request.model_copy(update={"return_token_ids": True, "return_tokens_as_token_ids": True})


def _constraining_field(request: GenerationRequest) -> str:
    fields = ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")
    return next((field for field in fields if getattr(request, field) is not None), "response_format")
