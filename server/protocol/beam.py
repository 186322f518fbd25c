"""What a beam search cannot be combined with: it follows the likeliest texts, so nothing may choose otherwise."""

from typing import Any, Protocol

from paddock.server.protocol.structured_outputs import ResponseFormat

_SAMPLING: dict[str, tuple[Any, ...]] = {
    "stream": (False,),
    "temperature": (None, 0),
    "top_p": (None, 1),
    "top_k": (None, 0, -1),
    "min_p": (None, 0),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "seed": (None, -1),
    "stop": ([],),
    "min_tokens": (0,),
    "logit_bias": ({},),
    "allowed_token_ids": (None,),
    "bad_words": ([],),
    "logits_processors": ([],),
    "vllm_xargs": ({},),
    "prompt_logprobs": (None,),
    "structured_outputs": (None,),
    "guided_json": (None,),
    "guided_regex": (None,),
    "guided_choice": (None,),
    "guided_grammar": (None,),
}
"""Fields of a request, with the values that ask for nothing."""


class MaySearchBeams(Protocol):
    @property
    def use_beam_search(self) -> bool: ...

    @property
    def length_penalty(self) -> float: ...

    @property
    def early_stopping(self) -> bool: ...

    @property
    def response_format(self) -> ResponseFormat | None: ...


def refuse_beam_conflicts(request: MaySearchBeams) -> None:
    """Raise ValueError that begins with the field at fault."""
    if not request.use_beam_search:
        if request.length_penalty != 1:
            raise ValueError("length_penalty needs use_beam_search: true")
        if request.early_stopping:
            raise ValueError("early_stopping needs use_beam_search: true")
        return
    for field, neutral in _SAMPLING.items():
        if getattr(request, field) not in neutral:
            raise ValueError(f"{field} cannot be combined with use_beam_search; leave it out")
    if request.response_format is not None and request.response_format.type != "text":
        raise ValueError("response_format cannot be combined with use_beam_search; leave it out")
