"""What `--load-format` and the arguments beside it mean together; checked before anything is loaded. Torch-free."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, Literal, cast

from paddock.engine.models.errors import CheckpointError

if TYPE_CHECKING:
    from paddock.engine.config import LoadConfig

LoadFormat = Literal["auto", "safetensors", "pt", "npcache", "mistral", "sharded_state", "dummy"]

LOAD_FORMATS: tuple[LoadFormat, ...] = (
    "auto",
    "safetensors",
    "pt",
    "npcache",
    "mistral",
    "sharded_state",
    "dummy",
)
SHARD_PATTERN = "model-rank-{rank}-part-{part}.safetensors"
DEFAULT_THREADS = 8
MAX_THREADS = 256
ORIGINALS = "original/*"
"""Where publishers repeat the weights in the layout that they were trained in."""

_IN_THREADS = {"enable_multithread_load": bool, "num_threads": int}
EXTRA_KEYS: dict[LoadFormat, dict[str, type]] = {
    "auto": _IN_THREADS,
    "safetensors": _IN_THREADS,
    "pt": _IN_THREADS,
    "npcache": _IN_THREADS,
    "mistral": _IN_THREADS,
    "sharded_state": {"pattern": str, **_IN_THREADS},
    "dummy": {},
}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The arguments of the load group in force."""

    load_format: LoadFormat = "auto"
    eager: bool = False
    """Safetensors files are read whole instead of being mapped."""

    threads: int = 1
    """Files that are read at the same time."""

    map_location: str | dict[str, str] = "cpu"
    shard_pattern: str = SHARD_PATTERN
    ignore_patterns: tuple[str, ...] = (ORIGINALS,)
    show_progress: bool = True

    @staticmethod
    def read(load: "LoadConfig") -> "LoadOptions":
        """Raises `CheckpointError` for values that do not fit the format."""
        load_format = load.load_format
        if load_format not in LOAD_FORMATS:
            raise CheckpointError(
                f"load_format {load_format!r} is not supported; use {', '.join(LOAD_FORMATS)}."
            )
        extra = _checked_extra(load.model_loader_extra_config, load_format)
        return LoadOptions(
            load_format=load_format,
            eager=load.safetensors_load_strategy == "eager",
            threads=_threads(extra),
            map_location=_map_location(load.pt_load_map_location),
            shard_pattern=_pattern(extra),
            ignore_patterns=(ORIGINALS,) if load.ignore_patterns is None else load.ignore_patterns,
            show_progress=load.use_tqdm_on_load,
        )

    def ignores(self, name: str) -> bool:
        """Whether the file `name`, relative to the model's folder, is to be passed over."""
        return any(fnmatch(name, pattern) for pattern in self.ignore_patterns)


def _checked_extra(extra: Mapping[str, Any], load_format: LoadFormat) -> Mapping[str, Any]:
    known = EXTRA_KEYS[load_format]
    for key, value in extra.items():
        if key not in known:
            allowed = f"it takes {', '.join(known)}" if known else "it takes none"
            raise CheckpointError(
                f"--model-loader-extra-config: load_format {load_format!r} has no key {key[:80]!r}; {allowed}."
            )
        if type(value) is not known[key]:
            kind = {bool: "true or false", int: "a whole number", str: "a text"}[known[key]]
            raise CheckpointError(
                f"--model-loader-extra-config: {key} is {str(value)[:80]!r}; it must be {kind}."
            )
    return extra


def _threads(extra: Mapping[str, Any]) -> int:
    count = extra.get("num_threads", DEFAULT_THREADS)
    if not 1 <= count <= MAX_THREADS:
        raise CheckpointError(
            f"--model-loader-extra-config: num_threads is {count}; it must be from 1 to {MAX_THREADS}."
        )
    if "num_threads" in extra and not extra.get("enable_multithread_load"):
        raise CheckpointError(
            "--model-loader-extra-config: num_threads needs enable_multithread_load: true; add it, or leave both out."
        )
    return count if extra.get("enable_multithread_load") else 1


def _pattern(extra: Mapping[str, Any]) -> str:
    pattern = str(extra.get("pattern", SHARD_PATTERN))
    if not all(place in pattern for place in ("{rank}", "{part}")) or "/" in pattern:
        raise CheckpointError(
            f"--model-loader-extra-config: pattern is {pattern[:80]!r}; it must be a file name with {{rank}} and "
            f"{{part}} in it, such as {SHARD_PATTERN}."
        )
    return pattern


def _map_location(text: str) -> str | dict[str, str]:
    """A device, or a JSON object from the device that a file names to the one to load onto."""
    if not text.lstrip().startswith("{"):
        _check_device(text, text)
        return text
    try:
        mapping = json.loads(text)
    except ValueError:
        raise CheckpointError(f"--pt-load-map-location {text[:80]!r} is no JSON object.") from None
    for device in (*mapping, *mapping.values()):
        _check_device(device, text)
    return cast("dict[str, str]", mapping)


def _check_device(device: object, text: str) -> None:
    kind, _, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind not in ("cpu", "cuda") or (":" in str(device) and not number.isdecimal()):
        raise CheckpointError(
            f"--pt-load-map-location {text[:80]!r}: {str(device)[:40]!r} is no device; write cpu, cuda, cuda:1, or a "
            'JSON object such as {"cuda:1": "cuda:0"}.'
        )
