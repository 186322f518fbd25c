"""The files by which a pod's adapters are kept as the spec wants them. Torch-free.

wanted.json   by the operator, through the pod's annotation: what there should be
served.json   by the keeper, who fetches: what lies ready on disk, and where
loaded.json   by the server: what became of each of those in the engine
"""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

SERVED_FILE = "served.json"
LOADED_FILE = "loaded.json"

Item = TypeVar("Item")


class WantedAdapter(msgspec.Struct, frozen=True):
    """`entry`: its folder in the cache, another one for whatever makes another adapter."""

    name: str
    uri: str
    entry: str
    sha256: str | None = None


class ServedAdapter(msgspec.Struct, frozen=True):
    """`path`: of the adapter's folder, as the server sees it."""

    name: str
    path: str


class LoadedAdapter(msgspec.Struct, frozen=True):
    """`problem`: why the engine does not serve it; None while it does."""

    name: str
    path: str
    problem: str | None = None


def read_list(file: Path, kind: type[Item]) -> list[Item]:
    """Raises OSError, and ValueError for what is no list of `kind`. An empty file is an empty list."""
    text = file.read_bytes()
    return msgspec.json.decode(text, type=list[kind]) if text.strip() else []  # type: ignore[valid-type]


def write_list(file: Path, items: list[Item]) -> None:
    """By a rename, so that no reader sees half of it."""
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(msgspec.json.encode(items))
    os.replace(new, file)
