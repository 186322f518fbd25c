"""`--config FILE`: arguments from YAML, keyed by their long names."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from paddock.engine.config.catalogue import Entry, entries, nearest
from paddock.engine.config.layer import Layer
from paddock.engine.config.problems import Problem
from paddock.engine.config.removed import removed_by_flag

MAX_BYTES = 1 << 20


def read_config_file(path: str) -> Layer:
    """Read a file; whatever is wrong with it is a problem of the layer."""
    layer = Layer()
    content = _load(path, layer)
    for key, value in content.items():
        _put(layer, str(key), value, path)
    layer.settle()
    return layer


def _load(path: str, layer: Layer) -> Mapping[Any, Any]:
    try:
        text = Path(path).read_bytes()
        if len(text) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES} bytes")
        # CSafeLoader is not in every build, and these files are small.
        content = yaml.safe_load(text)
    except OSError as error:
        layer.problems.append(Problem((), f"cannot be read: {error.strerror}", path, "--config"))
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        layer.problems.append(Problem((), f"is not YAML: {error}", path, "--config"))
        return {}
    if content is None or isinstance(content, Mapping):
        return content or {}
    layer.problems.append(Problem((), "must hold `name: value` lines", path, "--config"))
    return {}


def _put(layer: Layer, key: str, value: object, path: str) -> None:
    origin, flag = f"{key} in {path}", "--" + key.replace("_", "-")
    if flag == "--config":
        layer.problems.append(Problem((), "a configuration file cannot name another one", origin=origin))
    elif value is None:
        return
    elif flag in _long_flags():
        layer.put(_long_flags()[flag], value, origin)
    elif flag in removed_by_flag():
        layer.retire(removed_by_flag()[flag], value, origin)
    else:
        hint = nearest(key.replace("_", "-"), [name[2:] for name in _long_flags()])
        layer.problems.append(Problem((), f"unknown argument{hint}", origin=origin))


@cache
def _long_flags() -> Mapping[str, Entry]:
    return {entry.flag: entry for entry in entries()}
