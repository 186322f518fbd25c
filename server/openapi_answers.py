"""What each operation reads and answers, for the OpenAPI document."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel

from paddock.server.errors import ERROR_TYPES
from paddock.server.messages.errors import PREFIX
from paddock.server.protocol.adapters import LoadAdapterRequest, UnloadAdapterRequest
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.completions import CompletionRequest
from paddock.server.protocol.message_replies import MessageReply, TokensCount
from paddock.server.protocol.messages import CountTokensRequest, MessagesRequest
from paddock.server.protocol.pooling import (
    ClassifyRequest,
    EmbeddingRequest,
    PoolingRequest,
    RerankRequest,
    ScoreRequest,
)
from paddock.server.protocol.pooling_replies import PoolingUsage, RerankReply
from paddock.server.protocol.replies import ChatChoice, TextChoice, Usage
from paddock.server.protocol.response_replies import DeletedResponse, InputItems, InputTokens, ResponseReply
from paddock.server.protocol.responses import CountRequest, ResponseRequest
from paddock.server.protocol.route_replies import (
    ModelCard,
    ModelList,
    ServerInfo,
    ServerLoad,
    ServerVersion,
    Text,
    Tokens,
    WorkerResults,
)
from paddock.server.protocol.tokens import DetokenizeRequest, TokenizeMessages, TokenizeText
from paddock.server.protocol.worker_calls import WorkerCallRequest

REFERENCE = "#/components/schemas/{}"
REQUESTS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "/v1/chat/completions": (ChatRequest,),
    "/v1/completions": (CompletionRequest,),
    "/v1/responses": (ResponseRequest,),
    "/v1/responses/input_tokens": (CountRequest,),
    "/v1/messages": (MessagesRequest,),
    "/v1/messages/count_tokens": (CountTokensRequest,),
    "/v1/embeddings": (EmbeddingRequest,),
    "/pooling": (PoolingRequest,),
    "/classify": (ClassifyRequest,),
    "/score": (ScoreRequest,),
    "/v1/score": (ScoreRequest,),
    "/rerank": (RerankRequest,),
    "/v1/rerank": (RerankRequest,),
    "/v2/rerank": (RerankRequest,),
    "/tokenize": (TokenizeText, TokenizeMessages),
    "/detokenize": (DetokenizeRequest,),
    "/v1/load_lora_adapter": (LoadAdapterRequest,),
    "/v1/unload_lora_adapter": (UnloadAdapterRequest,),
    "/collective_rpc": (WorkerCallRequest,),
}
"""What is posted; several where a route reads one of them."""


@dataclass(frozen=True, slots=True)
class Success:
    """The schema's name, and whether the answer may come as events. None for a body without a form."""

    schema: str | None
    streams: bool = False
    media_type: str = "application/json"


def _of(kind: type[msgspec.Struct], streams: bool = False) -> Success:
    return Success(kind.__name__, streams)


RESPONSE = "/v1/responses/{response_id}"
VECTORS = Success("PoolingReply")
RANKING = _of(RerankReply)
SUCCESSES: Mapping[tuple[str, str], Success] = {
    ("post", "/v1/chat/completions"): Success("ChatReply", streams=True),
    ("post", "/v1/completions"): Success("CompletionReply", streams=True),
    ("post", "/v1/responses"): _of(ResponseReply, streams=True),
    ("post", "/v1/responses/input_tokens"): _of(InputTokens),
    ("get", RESPONSE): _of(ResponseReply, streams=True),
    ("delete", RESPONSE): _of(DeletedResponse),
    ("post", RESPONSE + "/cancel"): _of(ResponseReply),
    ("get", RESPONSE + "/input_items"): _of(InputItems),
    ("post", "/v1/messages"): _of(MessageReply, streams=True),
    ("post", "/v1/messages/count_tokens"): _of(TokensCount),
    ("post", "/v1/embeddings"): VECTORS,
    ("post", "/pooling"): VECTORS,
    ("post", "/classify"): VECTORS,
    ("post", "/score"): VECTORS,
    ("post", "/v1/score"): VECTORS,
    ("post", "/rerank"): RANKING,
    ("post", "/v1/rerank"): RANKING,
    ("post", "/v2/rerank"): RANKING,
    ("post", "/tokenize"): _of(Tokens),
    ("post", "/detokenize"): _of(Text),
    ("get", "/tokenizer_info"): Success("Object"),
    ("get", "/v1/models"): _of(ModelList),
    ("get", "/v1/models/{model_id}"): _of(ModelCard),
    ("get", "/load"): _of(ServerLoad),
    ("get", "/server_info"): _of(ServerInfo),
    ("post", "/collective_rpc"): _of(WorkerResults),
    ("get", "/version"): _of(ServerVersion),
    ("get", "/metrics"): Success(None, media_type="text/plain"),
    ("post", "/v1/load_lora_adapter"): Success(None, media_type="text/plain"),
    ("post", "/v1/unload_lora_adapter"): Success(None, media_type="text/plain"),
}
"""Of operations whose answer has a body."""

STRUCTS: tuple[type[msgspec.Struct], ...] = (
    ChatChoice, TextChoice, Usage, ResponseReply, InputTokens, DeletedResponse, InputItems, MessageReply, TokensCount,
    PoolingUsage, RerankReply, Tokens, Text, ModelList, ModelCard, ServerLoad, ServerInfo, ServerVersion,
    WorkerResults,
)  # fmt: skip


def reply_schemas() -> dict[str, Any]:
    """By name."""
    _, structs = msgspec.json.schema_components(STRUCTS, ref_template=REFERENCE.format("{name}"))
    return {
        "Error": _error(),
        "MessagesError": _messages_error(),
        "Object": {"type": "object"},
        "Event": _event(),
        "ChatReply": _reply("chat.completion", "choices", reference("ChatChoice"), "Usage"),
        "CompletionReply": _reply("text_completion", "choices", reference("TextChoice"), "Usage"),
        "PoolingReply": _reply("list", "data", {"type": "object"}, "PoolingUsage"),
        **structs,
    }


def failure_of(path: str) -> str:
    """The schema's name of the errors of a route."""
    return "MessagesError" if path.startswith(PREFIX) else "Error"


def reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name)}


def _reply(kind: str, part: str, one: dict[str, Any], usage: str) -> dict[str, Any]:
    """Replies whose parts differ from route to route, which a struct cannot say."""
    return {
        "type": "object",
        "required": ["id", "object", "created", "model", part],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": kind},
            "created": {"type": "integer", "description": "Seconds since 1970."},
            "model": {"type": "string"},
            part: {"type": "array", "items": one},
            "usage": reference(usage),
        },
    }


def _event() -> dict[str, Any]:
    fields = {
        "event": {"type": "string", "description": "Its kind, where the API names kinds."},
        "data": {"type": "string", "description": "A JSON object, or [DONE]."},
    }
    return {
        "type": "object",
        "description": "One of the stream's events.",
        "required": ["data"],
        "properties": fields,
    }


def _error() -> dict[str, Any]:
    fields = {
        "message": {"type": "string"},
        "type": {"type": "string", "enum": sorted(ERROR_TYPES.values())},
        "param": {"type": ["string", "null"], "description": "The dotted name of the field at fault."},
        "code": {"type": "integer", "description": "The HTTP status."},
    }
    error = {"type": "object", "required": [*fields], "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _messages_error() -> dict[str, Any]:
    fields = {"type": {"type": "string"}, "message": {"type": "string"}}
    error = {"type": "object", "required": [*fields], "properties": fields}
    return {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {"type": {"const": "error"}, "error": error, "request_id": {"type": "string"}},
    }
