"""Jamba 1.5 and later: a JSON list of calls between `<tool_calls>` and `</tool_calls>`."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_calls
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("jamba")
class JambaParser(ToolParser):
    markers = ("<tool_calls>", "</tool_calls>")

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(_calls, "<tool_calls>")


def _calls(source: Source) -> Parsing[None]:
    yield from json_calls(source)
    yield from source.skip_space()
    yield from source.takes("</tool_calls>")
