"""Granite 3: a JSON list of calls after `<|tool_call|>` (3.0) or `<tool_call>` (3.1 and later)."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_calls
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("granite")
class GraniteParser(ToolParser):
    markers = ("<|tool_call|>", "<tool_call>")

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(json_calls, *self.markers)
