"""GLM 4.5 and later: `<tool_call>f<arg_key>x</arg_key><arg_value>…</arg_value></tool_call>`."""

import json

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Malformed, Source
from paddock.server.tools.tagged_value import tagged_value

MAX_NAME = 256


@register_tool_parser("glm45")
class Glm45Parser(ToolParser):
    markers = (
        "<tool_call>",
        "</tool_call>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
    )

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(self._call, "<tool_call>")

    def _call(self, source: Source) -> Parsing[None]:
        yield from source.peek_past_space()
        name = (yield from source.take_until("<arg_key>", "</tool_call>", limit=MAX_NAME)).strip()
        if not name or name[0] in "{[<":
            raise Malformed
        ended = source.text[: source.at].endswith("</tool_call>")
        yield CallBegin(name)
        yield CallArguments("{")
        separator = ""
        while not ended:
            yield from self._argument(source, name, separator)
            separator = ", "
            yield from source.peek_past_space()
            ended = (yield from source.expect("<arg_key>", "</tool_call>")) == "</tool_call>"
        yield CallArguments("}")
        yield CallEnd()

    def _argument(self, source: Source, name: str, separator: str) -> Parsing[None]:
        """A pair, its opening tag read."""
        key = (yield from source.take_until("</arg_key>", limit=MAX_NAME)).strip()
        yield CallArguments(f"{separator}{json.dumps(key, ensure_ascii=False)}: ")
        yield from source.peek_past_space()
        yield from source.expect("<arg_value>")
        yield from tagged_value(source, self.tools.types_of(name, key), "</arg_value>")
