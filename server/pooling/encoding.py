"""From a request's texts to token ids that fit the model."""

import asyncio
from collections.abc import Callable, Sequence

from paddock.server.errors import bad_request
from paddock.server.generation.sampling import check_tokens
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.protocol.pooling import InputFields, PoolingFields
from paddock.server.serving import INLINE_CHARACTERS, Serving
from paddock.server.tokens.inputs import EncodedInput


async def encode_inputs(
    request: InputFields, serving: Serving, most_tokens: int | None = None
) -> list[EncodedInput]:
    """Raises ApiError 400 for an input that is empty or has more than `most_tokens`; unset, the context counts."""
    most = serving.limits.max_model_len if most_tokens is None else most_tokens
    longest = _longest(request, serving)
    if request.token_lists:
        for token_ids in request.token_lists:
            check_tokens(token_ids, serving.limits, "input")
        inputs = [EncodedInput(token_ids[:longest]) for token_ids in request.token_lists]
    else:
        inputs = await _encode_texts(request, serving, longest, most)
    for each in inputs:
        _check_length(each, most, "input")
    return inputs


async def encode_pairs(
    request: PoolingFields, firsts: Sequence[str], seconds: Sequence[str], field: str, serving: Serving
) -> list[EncodedInput]:
    """Both texts of a pair as one input, for a model that reads them together. `field` is that of the second."""
    longest, tokenizer = _longest(request, serving), serving.tokenizer
    pairs = list(zip(firsts, seconds, strict=True))

    def encode() -> list[EncodedInput]:
        return [tokenizer.encode_input(first, second, longest=longest) for first, second in pairs]

    if longest is None:
        for first, second in pairs:
            _refuse_hopeless(len(first) + len(second), serving.limits.max_model_len, field, serving)
    inputs = await _run(encode, sum(len(first) + len(second) for first, second in pairs), serving)
    for each in inputs:
        _check_length(each, serving.limits.max_model_len, field)
    return inputs


async def encode_texts(
    request: PoolingFields, texts: Sequence[str], field: str, serving: Serving
) -> list[EncodedInput]:
    """Texts that are compared by their vectors."""
    inputs = await _encode(
        texts, True, _longest(request, serving), serving.limits.max_model_len, field, serving
    )
    for each in inputs:
        _check_length(each, serving.limits.max_model_len, field)
    return inputs


async def _encode_texts(
    request: InputFields, serving: Serving, longest: int | None, most: int
) -> list[EncodedInput]:
    return await _encode(request.texts, request.add_special_tokens, longest, most, "input", serving)


async def _encode(
    texts: Sequence[str],
    add_special_tokens: bool,
    longest: int | None,
    most: int,
    field: str,
    serving: Serving,
) -> list[EncodedInput]:
    tokenizer = serving.tokenizer

    def encode() -> list[EncodedInput]:
        return [
            tokenizer.encode_input(text, add_special_tokens=add_special_tokens, longest=longest)
            for text in texts
        ]

    if longest is None:
        for text in texts:
            _refuse_hopeless(len(text), most, field, serving)
    return await _run(encode, sum(map(len, texts)), serving)


async def _run(
    encode: Callable[[], list[EncodedInput]], characters: int, serving: Serving
) -> list[EncodedInput]:
    if characters <= INLINE_CHARACTERS:
        return encode()
    return await asyncio.get_running_loop().run_in_executor(serving.threads, encode)


def _longest(request: PoolingFields, serving: Serving) -> int | None:
    """Tokens that an input is cut to; None for no cut. Raises ApiError 400."""
    asked, context = request.truncate_prompt_tokens, serving.limits.max_model_len
    if asked is not None and asked > context:
        raise bad_request(
            f"truncate_prompt_tokens is {asked}, and this model's maximum context length is {context} tokens; use at "
            f"most {context}, or -1 for that.",
            "truncate_prompt_tokens",
        )
    return context if asked == -1 else asked


def _refuse_hopeless(characters: int, most: int, field: str, serving: Serving) -> None:
    """Without tokenizing it."""
    least = serving.tokenizer.least_tokens(characters)
    if least > most:
        raise _too_long(f"at least {least}", most, field)


def _check_length(encoded: EncodedInput, most: int, field: str) -> None:
    if not encoded.token_ids:
        raise bad_request(f"{field}: an empty text has no tokens.", field)
    if len(encoded.token_ids) > most:
        raise _too_long(str(len(encoded.token_ids)), most, field)


def _too_long(count: str, most: int, field: str) -> Exception:
    return bad_request(
        f"This model's maximum context length is {most} tokens. However, {field} has {count}. Shorten it, or send "
        "truncate_prompt_tokens: -1.",
        field,
    )


def most_embedded(model: PoolingModel, context: int) -> int:
    """Tokens of one input of /v1/embeddings; more than the context only where it is embedded in pieces."""
    asked = model.plan.max_embed_len
    if model.plan.in_pieces:
        return asked or 2**63
    return min(asked or context, context)
