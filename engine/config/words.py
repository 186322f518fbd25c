"""From the words of a command line to typed values; what cannot be read is left for validation to refuse."""

import json
import re
from collections.abc import Sequence

from paddock.engine.config.kinds import Kind, kind_of

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_SWITCH = {"true": True, "false": False}


def from_text(text: str, kind: Kind) -> object:
    """Read one word as a value of this kind."""
    match kind.base:
        case "bool":
            return _SWITCH.get(text.lower(), text)
        case "int":
            return int(text) if _WHOLE.fullmatch(text) else text
        case "float":
            return _number(text)
        case "enum" if kind.choices and isinstance(kind.choices[0], int):
            return int(text) if _WHOLE.fullmatch(text) else text
        case "json" | "object" | "map":
            return _json(text)
    return text


def from_words(words: Sequence[str], kind: Kind) -> object:
    """Read the words of a list: one JSON array, or an element each."""
    if len(words) == 1 and words[0].startswith("["):
        return _json(words[0])
    assert kind.item is not None, "only lists take several words"
    return [from_text(word, kind.item) for word in words]


def from_dotted(text: str, keys: Sequence[str], kind: Kind, append: bool) -> object:
    """Read the value of a dotted key: as its own kind where that is known, else JSON if it parses, else text."""
    for key in keys:
        info = kind.structure.model_fields.get(key) if kind.structure else None
        kind = kind_of(info) if info else kind.item or Kind("json")
    if append:
        element = kind.item or Kind("json")
        return [
            _json(part) if element.base == "json" else from_text(part, element) for part in text.split(",")
        ]
    if kind.base == "list":
        return from_words([text], kind)
    return _json(text) if kind.base == "json" else from_text(text, kind)


def _number(text: str) -> object:
    # Python's float() would take 1_000 and surrounding blanks, too.
    try:
        return text if "_" in text or text != text.strip() else float(text)
    except ValueError:
        return text


def _json(text: str) -> object:
    """Read JSON; a plain word such as name=path stays text, which some structures understand."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
