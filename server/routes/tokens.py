"""/tokenize and /detokenize: text to token ids and back, as the model sees them."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from paddock.server.generation.sampling import check_tokens
from paddock.server.protocol.parsing import check_fields, parse_request, read_object
from paddock.server.protocol.route_replies import Text, Tokens
from paddock.server.protocol.tokens import DetokenizeRequest, TokenizeMessages, TokenizeText
from paddock.server.routes.as_json import as_json
from paddock.server.routes.rendering import encode_messages
from paddock.server.serving import Serving

router = APIRouter()
info_router = APIRouter()
"""Registered when --enable-tokenizer-info-endpoint is given."""


@router.post("/tokenize")
async def tokenize(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    fields = read_object(await http.body(), http.headers.get("content-type"))
    if fields.get("messages") is not None:
        chat = check_fields(TokenizeMessages, fields)
        serving.model_name(chat.model)
        _, token_ids = await encode_messages(chat, serving)
        return _tokens(token_ids, chat.return_token_strs, serving)
    text = check_fields(TokenizeText, fields)
    serving.model_name(text.model)
    [token_ids] = await serving.encode([text.prompt], text.add_special_tokens, "prompt")
    return _tokens(token_ids, text.return_token_strs, serving)


@router.post("/detokenize")
async def detokenize(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    request = parse_request(DetokenizeRequest, await http.body(), http.headers.get("content-type"))
    serving.model_name(request.model)
    check_tokens(request.tokens, serving.limits, "tokens")
    loop = asyncio.get_running_loop()
    text = await loop.run_in_executor(serving.threads, serving.tokenizer.decode, request.tokens, False)
    return as_json(Text(text))


@info_router.get("/tokenizer_info")
async def tokenizer_info(http: Request) -> JSONResponse:
    """tokenizer_config.json as the server uses it, with the chat template that is in force."""
    serving: Serving = http.app.state.serving
    info: dict[str, Any] = {"tokenizer_class": None, **serving.tokenizer.config}
    if serving.chat_template is not None:
        info["chat_template"] = serving.chat_template.source
    return JSONResponse(info)


def _tokens(token_ids: list[int], with_texts: bool, serving: Serving) -> Response:
    texts = None
    if with_texts:
        texts = [serving.tokenizer.token_bytes(token_id).decode("utf-8", "replace") for token_id in token_ids]
    return as_json(Tokens(len(token_ids), serving.limits.max_model_len, token_ids, texts))
