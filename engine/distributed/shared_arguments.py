"""The arguments that all members of a group must have alike, and the words for those that differ. Torch-free."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from pydantic import BaseModel

from paddock.engine.config.argument import same
from paddock.engine.config.catalogue import entries
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

GROUPS = (
    "model",
    "load",
    "structured_outputs",
    "parallel",
    "cache",
    "multimodal",
    "lora",
    "scheduler",
    "engine",
)
EACH_NODES_OWN = {
    ("model", "model"), ("model", "hf_token"), ("model", "served_model_name"), ("load", "download_dir"),
    ("parallel", "node_rank"), ("parallel", "data_parallel_rank"), ("parallel", "data_parallel_start_rank"),
    ("parallel", "data_parallel_size_local"),
}  # fmt: skip
SHAPE = "the model's config.json"
MOST_SHOWN = 4


def shared_arguments(config: "ServeConfig", shape: ModelShape) -> dict[str, str]:
    """JSON values by flag, of all that is not at its default, and a digest of the model's shape."""
    values = {SHAPE: hashlib.sha256(repr(shape).encode()).hexdigest()[:16]}
    for entry in entries():
        if entry.group not in GROUPS or (entry.group, entry.name) in EACH_NODES_OWN or entry.argument.secret:
            continue
        value = getattr(getattr(config, entry.group), entry.name)
        if not same(value, entry.default):
            values[entry.flag] = msgspec.json.encode(value, enc_hook=_plain).decode()
    if config.parallel.data_parallel_rank is not None:
        values["--data-parallel-rank"] = "one of its own"  # for every node or for none
    return values


def _plain(value: object) -> object:
    return value.model_dump() if isinstance(value, BaseModel) else str(value)


def difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str | None:
    """What a member has otherwise than the leader, in words for the member's log; None when all is alike."""
    flags = sorted(flag for flag in {*theirs, *ours} if theirs.get(flag) != ours.get(flag))
    if not flags:
        return None
    shown = [
        f"{flag} is {theirs.get(flag, 'unset')} here and {ours.get(flag, 'unset')} at the leader"
        for flag in flags[:MOST_SHOWN]
    ]
    more = f", and {len(flags) - MOST_SHOWN} more differ" if len(flags) > MOST_SHOWN else ""
    return f"the arguments differ: {'; '.join(shown)}{more}. Start every node with the same ones."
