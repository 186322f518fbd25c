"""Calls written as JSON objects: `{"name": …, "arguments": {…}}`, alone or in a list."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_text import arguments_of, collected, json_string, streamed_object
from paddock.server.tools.offered import OfferedTools
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd
from paddock.server.tools.source import Malformed, Source, Waiting

ARGUMENT_KEYS = ("arguments", "parameters")


def json_call(source: Source, only: OfferedTools | None = None) -> Parsing[None]:
    """One object. Its keys may come in any order; others than name and arguments are read over.

    With `only`, a name that is not offered is Malformed: for formats where nothing else tells a call from other JSON.
    """
    name: str | None = None
    arguments: str | None = None
    yield from source.peek_past_space()
    yield from source.expect("{")
    while True:
        key = yield from _key(source)
        if key == "name" and name is None:
            name = yield from json_string(source)
            if not name or (only is not None and name not in only):
                raise Malformed
        elif key not in ARGUMENT_KEYS:
            yield from collected(source)
        elif name is not None and (yield from source.peek_past_space()) == "{":
            yield CallBegin(name)
            yield from streamed_object(source)
            yield CallEnd()
            yield from _rest(source)
            return
        else:
            arguments = arguments_of((yield from collected(source)))
        if (yield from _ends(source)):
            break
    if name is None:
        raise Malformed
    yield CallBegin(name)
    yield CallArguments(arguments or "{}")
    yield CallEnd()


def json_calls(source: Source, only: OfferedTools | None = None) -> Parsing[None]:
    """A list of such objects, or one without the brackets."""
    if (yield from source.peek_past_space()) != "[":
        yield from json_call(source, only)
        return
    source.at += 1
    if (yield from source.peek_past_space()) == "]":
        raise Malformed
    while True:
        yield from json_call(source, only)
        yield from source.skip_space()
        if (yield from source.expect(",", "]")) == "]":
            return


def _key(source: Source) -> Waiting[str]:
    key = yield from json_string(source)
    yield from source.peek_past_space()
    yield from source.expect(":")
    yield from source.peek_past_space()
    return key


def _ends(source: Source) -> Waiting[bool]:
    """Read over the end of a pair; whether it was the last."""
    yield from source.peek_past_space()
    return (yield from source.expect(",", "}")) == "}"


def _rest(source: Source) -> Waiting[None]:
    """Read over what follows the arguments. The call is whole by now: models that forget the brace are forgiven."""
    yield from source.skip_space()
    while (yield from source.takes(",", "}")) == ",":
        yield from _key(source)
        yield from collected(source)
        yield from source.skip_space()


def named_call(source: Source, name: str, call_id: str | None = None) -> Parsing[None]:
    """The arguments object of a call whose name was read before."""
    if not name or (yield from source.peek_past_space()) != "{":
        raise Malformed
    yield CallBegin(name, call_id)
    yield from streamed_object(source)
    yield CallEnd()
