"""`--config FILE`: arguments from YAML, keyed by their long names."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from paddock.engine.config.catalogue import nearest
from paddock.engine.config.layer import Layer
from paddock.engine.config.problems import Problem
from paddock.engine.config.vocabulary import Vocabulary

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read; which names it may hold depends on the dialect."""

    path: str
    content: Mapping[Any, Any]
    problems: tuple[Problem, ...] = ()

    @property
    def backend(self) -> str:
        """The dialect that the file names; empty if it names none."""
        named = self.content.get("backend")
        return named if isinstance(named, str) else ""

    def layer(self, words: Vocabulary) -> Layer:
        """The values; whatever is wrong with the file is a problem of the layer."""
        layer = Layer(source=f"file {self.path}", problems=list(self.problems))
        for key, value in self.content.items():
            _put(layer, str(key), value, self.path, words)
        layer.settle()
        return layer


def read_yaml(path: str) -> ConfigFile:
    """Read a file without looking at its names."""
    try:
        text = Path(path).read_bytes()
        if len(text) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES} bytes")
        content = yaml.load(text, _UniqueKeys)
    except OSError as error:
        return _broken(path, f"cannot be read: {error.strerror}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return _broken(path, f"is not YAML: {error}")
    if content is None or isinstance(content, Mapping):
        return ConfigFile(path, content or {})
    return _broken(path, "must hold `name: value` lines")


def _broken(path: str, message: str) -> ConfigFile:
    return ConfigFile(path, {}, (Problem((), message, path, "--config"),))


class _UniqueKeys(yaml.SafeLoader):
    """A name given twice is a mistake; PyYAML alone would silently take the last. (The C loader is not in
    every build, and these files are small.)"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            name = key.replace("_", "-") if isinstance(key, str) else key
            if isinstance(name, Hashable) and name in seen:
                raise yaml.MarkedYAMLError(problem=f"{key} is given twice", problem_mark=key_node.start_mark)
            if isinstance(name, Hashable):
                seen.add(name)
        return super().construct_mapping(node, deep)


def _put(layer: Layer, key: str, value: object, path: str, words: Vocabulary) -> None:
    origin, flag = f"{key} in {path}", "--" + key.replace("_", "-")
    known = words.long_flags()
    if flag == "--config":
        layer.problems.append(Problem((), "a configuration file cannot name another one", origin=origin))
    elif value is None:
        return
    elif flag in known:
        layer.put(known[flag], value, origin)
    elif flag in words.removed:
        layer.retire(words.removed[flag], value, origin)
    else:
        hint = nearest(key.replace("_", "-"), [name[2:] for name in known])
        layer.problems.append(Problem((), f"unknown argument{hint}", origin=origin))
