"""Request fields that are known and not built yet: refused by name unless they hold a value that asks for nothing."""

from collections.abc import Mapping
from typing import Any

from paddock.server.errors import bad_request

NOTHING_ASKED: dict[str, tuple[Any, ...]] = {
    "functions": (),
    "function_call": (),
    "guided_decoding_backend": (),
    "best_of": (1,),
    "suffix": (),
    "prompt_embeds": (),
    "mm_processor_kwargs": (),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "kv_transfer_params": (),
}
INSTEAD = {
    "guided_decoding_backend": "--structured-outputs-config chooses one for all requests",
    "functions": "it was replaced by tools",
    "function_call": "it was replaced by tool_choice",
    "best_of": "send n and choose among the answers",
}
NO_EFFECT = frozenset(
    {
        "user",
        "store",
        "metadata",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "verbosity",
    }
)
"""Accepted because they ask nothing of a server like this one."""


def refuse_unsupported(fields: Mapping[str, Any]) -> None:
    """Raise ApiError 400 for the first field that asks for something not built yet."""
    for name, value in fields.items():
        neutral = NOTHING_ASKED.get(name)
        if neutral is None or value is None or any(_same(value, nothing) for nothing in neutral):
            continue
        hint = f" ({INSTEAD[name]})" if name in INSTEAD else ""
        raise bad_request(f"{name} is not supported yet{hint}; leave it out.", name)


def _same(value: object, nothing: object) -> bool:
    return value == nothing and isinstance(value, bool) == isinstance(nothing, bool)
