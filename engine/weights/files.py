"""Which safetensors files make up a checkpoint, and which file holds which tensor."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from paddock.engine.models.errors import CheckpointError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
FETCH_AGAIN = "download or copy the checkpoint again"


def find_files(folder: Path) -> list[Path]:
    """The weight files of `folder`, all present. Raises `CheckpointError`."""
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if (folder / INDEX).exists():
        return _indexed(folder)
    # Mistral's own layout repeats every weight under other names beside the usual files.
    found = sorted(file for file in folder.glob("*.safetensors") if not file.name.startswith("consolidated"))
    if found:
        return found
    if list(folder.glob("*.bin")) or list(folder.glob("*.pt")):
        raise CheckpointError(
            f"{folder}: the weights are PyTorch pickles, which are not loaded because they can run code; "
            "convert them with `save_pretrained(..., safe_serialization=True)`."
        )
    raise CheckpointError(f"{folder}: no safetensors file; add the weights, or use load_format 'dummy'.")


def _indexed(folder: Path) -> list[Path]:
    index = folder / INDEX
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        names = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: is not an index of weights ({error!r}); {FETCH_AGAIN}.") from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {len(names)} weight files are missing: {_some(missing)}; {FETCH_AGAIN}."
        )
    return [folder / name for name in names]


def open_file(file: Path) -> Any:
    """A lazily mapped safetensors file: only the header is read here, and slices when asked for."""
    try:
        return safe_open(file, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        size = file.stat().st_size if file.exists() else 0
        raise CheckpointError(
            f"{file}: is corrupt or cut short ({size} bytes: {error}); {FETCH_AGAIN}."
        ) from None


def check_names(found: Mapping[str, Path], wanted: set[str], tied_head: bool) -> None:
    """The checkpoint must hold exactly what the model has. Raises `CheckpointError` naming what differs."""
    missing = sorted(wanted - set(found))
    if missing:
        raise CheckpointError(
            f"the checkpoint lacks {len(missing)} tensors that config.json asks for: {_some(missing)}; "
            "the weights and config.json are of different models."
        )
    unexpected = sorted(name for name in set(found) - wanted if not _ignored(name, tied_head))
    if unexpected:
        raise CheckpointError(
            f"the checkpoint holds {len(unexpected)} tensors that config.json has no place for: {_some(unexpected)} "
            f"(in {found[unexpected[0]].name}); the weights and config.json are of different models."
        )


def _ignored(name: str, tied_head: bool) -> bool:
    """Old Llama checkpoints stored the rotary frequencies; some store a tied head a second time."""
    return name.endswith("rotary_emb.inv_freq") or (tied_head and name == "lm_head.weight")


def _some(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
