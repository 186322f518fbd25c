"""Qwen3-Coder: `<tool_call><function=f><parameter=x>…</parameter></function></tool_call>`, each tag on a line."""

import json

from paddock.server.tools.incremental import Parsing, shown_until
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Malformed, Source
from paddock.server.tools.tagged_value import tagged_value

MAX_NAME = 256


@register_tool_parser("qwen3_coder")
class Qwen3CoderParser(ToolParser):
    markers = ("<tool_call>", "</tool_call>")

    def grammar(self, source: Source) -> Parsing[None]:
        # The model forgets the outer tag now and then.
        while mark := (yield from shown_until(source, "<tool_call>", "<function=")):
            yield from self.attempt(self._call(source, bare=mark == "<function="))

    def _call(self, source: Source, bare: bool) -> Parsing[None]:
        if not bare:
            yield from source.peek_past_space()
            yield from source.expect("<function=")
        name = yield from source.take_until(">", limit=MAX_NAME)
        if not name:
            raise Malformed
        yield CallBegin(name)
        yield CallArguments("{")
        separator = ""
        while (yield from self._parameter(source, name, separator)):
            separator = ", "
        yield CallArguments("}")
        yield CallEnd()
        yield from source.skip_space()
        yield from source.takes("</tool_call>")

    def _parameter(self, source: Source, name: str, separator: str) -> Parsing[bool]:
        """False when the function ends instead."""
        yield from source.peek_past_space()
        if (yield from source.expect("<parameter=", "</function>")) == "</function>":
            return False
        key = yield from source.take_until(">", limit=MAX_NAME)
        yield CallArguments(f"{separator}{json.dumps(key, ensure_ascii=False)}: ")
        yield from source.takes("\n")
        types = self.tools.types_of(name, key)
        yield from tagged_value(source, types, "\n</parameter>", "</parameter>")
        return True
