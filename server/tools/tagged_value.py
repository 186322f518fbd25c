"""Arguments that stand between tags, where the function's schema alone tells a text from a number."""

import ast
import json
from typing import Any

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_text import parsed, written
from paddock.server.tools.parts import CallArguments
from paddock.server.tools.source import Malformed, Source

_TYPES: dict[type, tuple[str, ...]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
    dict: ("object",),
    type(None): ("null",),
}
_PYTHON_NAMES = {"True": True, "False": False, "None": None}


def tagged_value(source: Source, types: frozenset[str], *end_marks: str) -> Parsing[None]:
    """The value up to the first of the marks, as JSON. A text is passed on as it comes, others once they are whole."""
    if types == {"string"}:
        yield CallArguments('"')
        yield from _streamed_text(source, end_marks)
        yield CallArguments('"')
        return
    text = yield from source.take_until(*end_marks)
    yield CallArguments(written(typed(text, types)))


def _streamed_text(source: Source, end_marks: tuple[str, ...]) -> Parsing[None]:
    while True:
        found = source.find(end_marks)
        end = found[0] if found else source.settled(end_marks)
        if text := source.text[source.at : end]:
            source.at = end
            yield CallArguments(json.dumps(text, ensure_ascii=False)[1:-1])
        if found:
            yield from source.expect(found[1])
            return
        yield from source.more()


def typed(text: str, types: frozenset[str]) -> Any:
    """The value as the schema wants it, where the text can be read so; else the text itself."""
    value = _value(text.strip())
    wanted = any(name in types for name in _TYPES.get(type(value), ()))
    try:
        written(value)
    except Malformed:
        return text
    return value if wanted else text


def _value(text: str) -> Any:
    if text in _PYTHON_NAMES:
        return _PYTHON_NAMES[text]
    try:
        return parsed(text)
    except Malformed:
        return _python_value(text)


def _python_value(text: str) -> Any:
    """Lists and objects in Python's spelling."""
    try:
        return ast.literal_eval(text) if text[:1] in ("[", "{") else text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
