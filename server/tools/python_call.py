"""Calls written as a list of Python expressions: `[add(a=1, b=2), now()]`."""

import ast
import string
import warnings
from typing import Any

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_text import written
from paddock.server.tools.offered import OfferedTools
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd
from paddock.server.tools.source import Malformed, Source, Waiting

_NAME = frozenset(string.ascii_letters + string.digits + "_.-")
_JSON_NAMES = {"true": True, "false": False, "null": None}
_OPENING = {"(": ")", "[": "]", "{": "}"}


def python_calls(source: Source, tools: OfferedTools) -> Parsing[None]:
    """The list. A function that is not offered is Malformed: nothing else tells a call from a list in a text."""
    yield from source.peek_past_space()
    yield from source.expect("[")
    while True:
        yield from _call(source, tools)
        yield from source.skip_space()
        if (yield from source.expect(",", "]")) == "]":
            return


def _call(source: Source, tools: OfferedTools) -> Parsing[None]:
    yield from source.peek_past_space()
    name = yield from source.take_while(_NAME)
    yield from source.peek()
    if name not in tools:
        raise Malformed
    yield from source.expect("(")
    opening = "{"
    while (yield from source.peek_past_space()) != ")":
        argument = yield from _argument(source)
        if opening == "{":
            yield CallBegin(name)
        yield CallArguments(opening + argument)
        opening = ", "
    source.at += 1
    if opening == "{":
        yield CallBegin(name)
        yield CallArguments(opening)
    yield CallArguments("}")
    yield CallEnd()


def _argument(source: Source) -> Waiting[str]:
    """A pair of the arguments object, the comma behind it read."""
    key = yield from source.take_while(_NAME)
    if not key.isidentifier():
        raise Malformed
    yield from source.peek_past_space()
    yield from source.expect("=")
    value = _as_json((yield from _expression(source)))
    yield from source.takes(",")
    return f'"{key}": {value}'


def _expression(source: Source) -> Waiting[str]:
    """The text up to the comma or bracket that ends it, which stays unread."""
    closers: list[str] = []
    length = 0
    while True:
        while source.at + length >= len(source.text):
            yield from source.more()
        character = source.text[source.at + length]
        if character in "\"'":
            length = yield from _quoted(source, length)
            continue
        if not closers and character in ",)":
            text = source.text[source.at : source.at + length]
            source.at += length
            return text
        if character in _OPENING:
            closers.append(_OPENING[character])
        elif character in ")]}" and not (closers and character == closers.pop()):
            raise Malformed
        length += 1


def _quoted(source: Source, length: int) -> Waiting[int]:
    """The length up to the end of a string that starts there; backslashes protect what follows them."""
    quote = source.text[source.at + length]
    length += 1
    escaped = False
    while True:
        while source.at + length >= len(source.text):
            yield from source.more()
        character = source.text[source.at + length]
        length += 1
        if character == quote and not escaped:
            return length
        escaped = character == "\\" and not escaped


class _JsonNames(ast.NodeTransformer):
    """`true`, `false` and `null`, which models write in Python, too."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_JSON_NAMES[node.id]) if node.id in _JSON_NAMES else node


def _as_json(text: str) -> str:
    """Raises Malformed for what is no literal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unknown escapes, which Python keeps as they are
            tree = _JsonNames().visit(ast.parse(text.strip(), mode="eval"))
            value: Any = ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise Malformed from None
    return written(value)
