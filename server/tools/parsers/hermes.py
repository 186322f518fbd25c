"""Hermes, and Qwen 2.5 and 3: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, one block per call."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_call
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("hermes")
class HermesParser(ToolParser):
    markers = ("<tool_call>", "</tool_call>")

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(_call, "<tool_call>")


def _call(source: Source) -> Parsing[None]:
    yield from json_call(source)
    yield from source.skip_space()
    yield from source.takes("</tool_call>")
