"""Answers of the routes that generate nothing."""

from typing import Any, Literal

import msgspec


class ModelCard(msgspec.Struct):
    id: str
    created: int
    root: str
    max_model_len: int
    parent: str | None = None
    """The base model of an adapter."""

    owned_by: str = "paddock"
    object: Literal["model"] = "model"


class ModelList(msgspec.Struct):
    data: list[ModelCard]
    object: Literal["list"] = "list"


class Tokens(msgspec.Struct):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Text(msgspec.Struct):
    prompt: str


class ServerLoad(msgspec.Struct):
    server_load: int


class ServerVersion(msgspec.Struct):
    version: str


class IsSleeping(msgspec.Struct):
    is_sleeping: bool


class WorkerResults(msgspec.Struct):
    results: list[Any]


class ServerInfo(msgspec.Struct):
    config: dict[str, Any]
