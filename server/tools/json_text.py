"""Pass one JSON value through as it comes (RFC 8259), checked at each character.

Control characters that a model writes into a string as they are come out escaped: the value is valid JSON all the same.
"""

import json
import re
import string
from collections.abc import Generator
from typing import Any

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.parts import CallArguments
from paddock.server.tools.source import Malformed, Source, Waiting

Fragments = Generator[str | None, None, None]
"""Text of the value; None when more is needed."""

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SCALAR_CHARACTERS = frozenset(string.ascii_letters + string.digits + "+-.")
_CLOSERS = {"{": "}", "[": "]"}
MAX_DEPTH = 128
"""Deeper values are malformed: clients read them with parsers of bounded depth."""


def json_text(source: Source) -> Fragments:
    """One value, its white space between tokens made uniform. Raises Malformed at the first wrong character."""
    closers: list[str] = []
    while True:
        first = yield from source.peek_past_space()
        if first in _CLOSERS:
            source.at += 1
            yield first
            if len(closers) == MAX_DEPTH:
                raise Malformed
            closers.append(_CLOSERS[first])
            if (yield from source.peek_past_space()) != closers[-1]:
                if first == "{":
                    yield from _key(source)
                continue
        elif first == '"':
            yield from _string(source)
        else:
            yield from _scalar(source)
        if not (yield from _after_value(source, closers)):
            return


def _after_value(source: Source, closers: list[str]) -> Generator[str | None, None, bool]:
    """Whether another value follows inside the outermost one."""
    while closers:
        character = yield from source.peek_past_space()
        if character == ",":
            source.at += 1
            yield ", "
            if closers[-1] == "}":
                yield from source.peek_past_space()
                yield from _key(source)
            return True
        if character != closers[-1]:
            raise Malformed
        source.at += 1
        yield closers.pop()
    return False


def _key(source: Source) -> Fragments:
    yield from _string(source)
    yield from source.peek_past_space()
    yield from source.expect(":")
    yield ": "


def _string(source: Source) -> Fragments:
    yield from source.expect('"')
    yield '"'
    while True:
        character = yield from source.peek()
        plain = _PLAIN.match(source.text, source.at)
        if plain is not None:
            source.at = plain.end()
            yield plain.group()
        elif character == "\\":
            yield (yield from _escape(source))
        else:
            source.at += 1
            yield character if character == '"' else json.dumps(character)[1:-1]
            if character == '"':
                return


def _escape(source: Source) -> Waiting[str]:
    yield from source.expect(*(f"\\{letter}" for letter in '"\\/bfnrtu'))
    if source.text[source.at - 1] != "u":
        return source.text[source.at - 2 : source.at]
    for _ in range(4):
        if (yield from source.peek()) not in string.hexdigits:
            raise Malformed
        source.at += 1
    return source.text[source.at - 6 : source.at]


def _scalar(source: Source) -> Fragments:
    text = yield from source.take_while(_SCALAR_CHARACTERS)
    if text not in ("true", "false", "null") and _NUMBER.fullmatch(text) is None:
        raise Malformed
    yield text


def collected(source: Source) -> Waiting[str]:
    """The text of one value, once it is whole."""
    text = ""
    for fragment in json_text(source):
        if fragment is None:
            yield None
        else:
            text += fragment
    return text


def json_string(source: Source) -> Waiting[str]:
    """The value of one JSON string."""
    if (yield from source.peek_past_space()) != '"':
        raise Malformed
    value: str = json.loads((yield from collected(source)))
    return value


def streamed_object(source: Source) -> Parsing[None]:
    """An object, passed on as arguments of the call that has begun."""
    if (yield from source.peek_past_space()) != "{":
        raise Malformed
    for fragment in json_text(source):
        yield None if fragment is None else CallArguments(fragment)


def arguments_of(text: str) -> str:
    """Arguments that came as another JSON value: null for none, or an object inside a string. Raises Malformed."""
    value: Any = json.loads(text)
    if isinstance(value, str):
        value = parsed(value or "{}")
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise Malformed
    return written(value)


def written(value: Any) -> str:
    """The value as JSON. Raises Malformed for what JSON has no words for."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise Malformed from None


def parsed(text: str) -> Any:
    """Raises Malformed for what is no JSON, and for what clients could not read."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed from None


def _no_constant(name: str) -> None:
    raise ValueError(name)
