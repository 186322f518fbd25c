"""Which files make up a checkpoint, in each format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.options import ORIGINALS, LoadFormat, LoadOptions
from paddock.engine.weights.tensor_file import FETCH_AGAIN

SAFETENSORS_INDEX = "model.safetensors.index.json"
MISTRAL_INDEX = "consolidated.safetensors.index.json"
PICKLED_INDEX = "pytorch_model.bin.index.json"

MISTRAL_FILES = "consolidated*.safetensors"
SHARDED_FILES = "model-rank-*.safetensors"
NO_WEIGHTS = ("training_args*", "optimizer*", "scheduler*", "rng_state*", "adapter_model*")
"""What trainers leave beside the weights under the same suffixes."""


@dataclass(frozen=True)
class WeightFiles:
    """The files, all present, and what their index says, if there is one."""

    kind: LoadFormat
    """How they are read; never auto or dummy."""

    paths: list[Path]
    index: Path | None = None
    indexed: Mapping[str, str] = field(default_factory=dict)
    """Tensor to file name."""


def find_files(folder: Path, options: LoadOptions) -> WeightFiles:
    """The weight files of `folder` for this format. Raises `CheckpointError`.

    auto takes safetensors first, then Mistral's own files, then PyTorch's.
    """
    order: tuple[LoadFormat, ...] = (options.load_format,)
    if options.load_format == "auto":
        order = ("safetensors", "mistral", "pt")
    for kind in order:
        found = _find(folder, kind, options)
        if found is not None:
            return found
    wanted = {
        "safetensors": "safetensors file",
        "mistral": f"{MISTRAL_FILES} file",
        "pt": ".bin or .pt file",
        "npcache": ".bin or .pt file",
    }
    raise CheckpointError(
        f"{folder}: no {' and no '.join(wanted[kind] for kind in order)}{_ignored_note(options)}; add the weights, name "
        "another load_format, or use load_format 'dummy'."
    )


def _ignored_note(options: LoadOptions) -> str:
    asked = options.ignore_patterns != (ORIGINALS,)
    return f" (--ignore-patterns passes over {', '.join(options.ignore_patterns)})" if asked else ""


def _find(folder: Path, kind: LoadFormat, options: LoadOptions) -> WeightFiles | None:
    if kind == "mistral":
        return _indexed(folder, MISTRAL_INDEX, kind, options) or _matching(
            folder, (MISTRAL_FILES,), (), kind, options
        )
    if kind == "safetensors":
        single = folder / "model.safetensors"
        if single.exists() and not options.ignores(single.name):
            return WeightFiles(kind, [single])
        # Mistral's own layout, and shards of single ranks, repeat every weight beside the usual files.
        others = (MISTRAL_FILES, SHARDED_FILES)
        found = _indexed(folder, SAFETENSORS_INDEX, kind, options)
        return found or _matching(folder, ("*.safetensors",), others, kind, options)
    found = _indexed(folder, PICKLED_INDEX, kind, options)
    return found or _matching(folder, ("*.bin", "*.pt"), NO_WEIGHTS, kind, options)


def _matching(
    folder: Path, patterns: tuple[str, ...], excluded: tuple[str, ...], kind: LoadFormat, options: LoadOptions
) -> WeightFiles | None:
    found = sorted(
        file
        for pattern in patterns
        for file in folder.glob(pattern)
        if not options.ignores(file.name) and not any(fnmatch(file.name, other) for other in excluded)
    )
    return WeightFiles(kind, found) if found else None


def _indexed(folder: Path, index_name: str, kind: LoadFormat, options: LoadOptions) -> WeightFiles | None:
    index = folder / index_name
    if not index.exists() or options.ignores(index_name):
        return None
    weight_map = _read_index(index)
    names = sorted({name for name in weight_map.values() if not options.ignores(name)})
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {len(names)} weight files are missing: {some(missing)}; {FETCH_AGAIN}."
        )
    indexed = {tensor: name for tensor, name in weight_map.items() if not options.ignores(name)}
    return WeightFiles(kind, [folder / name for name in names], index, indexed)


def _read_index(index: Path) -> dict[str, str]:
    """Tensor to file name; names that lead out of the folder are not followed."""
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        good = all(isinstance(name, str) and "/" not in name for name in weight_map.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index}: is not an index of weights ({error!r}); {FETCH_AGAIN}.") from None
    if not weight_map or not good:
        raise CheckpointError(
            f"{index}: is not an index of weights (weight_map names no files); {FETCH_AGAIN}."
        )
    return dict(weight_map)


def some(names: list[str], limit: int = 3) -> str:
    """The first names and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
