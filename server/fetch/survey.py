"""What a model is, by its configuration and the headers of its weights: read in place, before anything is downloaded.

safetensors: eight bytes, little endian, with the length of a JSON header that names each tensor's type and shape
(huggingface.co/docs/safetensors).
"""

import json
from math import prod
from pathlib import Path
from typing import Any, Protocol

from paddock.server.fetch.errors import FetchError

CONFIG_FILE = "config.json"
LARGEST_CONFIG_BYTES = 4 << 20
LARGEST_HEADER_BYTES = 100 << 20
LARGEST_SURVEY_BYTES = 4096
"""What the kubelet keeps of a container's last words."""

_FIELDS = (
    "architectures", "attention_bias", "dtype", "head_dim", "hidden_size", "intermediate_size",
    "moe_intermediate_size", "num_attention_heads", "num_experts", "num_hidden_layers", "num_key_value_heads",
    "num_local_experts", "quantization_config", "tie_word_embeddings", "torch_dtype", "vocab_size",
)  # fmt: skip


class Files(Protocol):
    """Files of a model, wherever they are."""

    def sizes(self) -> dict[str, int]:
        """Bytes by name. Raises FetchError."""

    def read(self, name: str, start: int, size: int) -> bytes:
        """So many bytes, or as many as there are. Raises FetchError."""


class Folder:
    """Of a model that is in the cache already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sizes(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self._folder.iterdir() if path.is_file()}

    def read(self, name: str, start: int, size: int) -> bytes:
        with (self._folder / name).open("rb") as opened:
            opened.seek(start)
            return opened.read(size)


def survey(files: Files) -> str:
    """JSON of at most LARGEST_SURVEY_BYTES: `config`, the fields that sizes follow from, and `elements`, how many the
    weights have by type. Raises FetchError where it cannot be known.
    """
    sizes = files.sizes()
    config = _config(files, sizes)
    elements: dict[str, int] = {}
    for name in sorted(_weights(sizes)):
        for dtype, count in _elements(files, name, sizes[name]).items():
            elements[dtype] = elements.get(dtype, 0) + count
    told = json.dumps({"config": config, "elements": elements}, separators=(",", ":"))
    if len(told.encode()) <= LARGEST_SURVEY_BYTES:
        return told
    return json.dumps({"config": {}, "elements": elements}, separators=(",", ":"))


def _config(files: Files, sizes: dict[str, int]) -> dict[str, Any]:
    if not 0 < sizes.get(CONFIG_FILE, 0) <= LARGEST_CONFIG_BYTES:
        raise FetchError(f"there is no {CONFIG_FILE} of at most {LARGEST_CONFIG_BYTES} bytes")
    fields = _parsed(files.read(CONFIG_FILE, 0, sizes[CONFIG_FILE]), CONFIG_FILE)
    return {name: fields[name] for name in _FIELDS if fields.get(name) is not None}


def _weights(sizes: dict[str, int]) -> list[str]:
    """Not what lies in a folder of its own, nor Mistral's second copy of the same."""
    found = [name for name in sizes if name.endswith(".safetensors") and "/" not in name]
    return [name for name in found if not name.startswith("consolidated")] or found


def _elements(files: Files, name: str, size: int) -> dict[str, int]:
    length = int.from_bytes(files.read(name, 0, 8), "little")
    if not 0 < length <= min(size - 8, LARGEST_HEADER_BYTES):
        raise FetchError(f"{name} does not begin as a safetensors file does")
    header = _parsed(files.read(name, 8, length), name)
    found: dict[str, int] = {}
    try:
        for tensor in (tensor for key, tensor in header.items() if key != "__metadata__"):
            dtype = str(tensor["dtype"])
            found[dtype] = found.get(dtype, 0) + prod(map(int, tensor["shape"]))
    except (TypeError, KeyError, ValueError):
        raise FetchError(f"the header of {name} is none of safetensors") from None
    return found


def _parsed(text: bytes, name: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise FetchError(f"{name} holds no JSON object")
    return fields
