"""Phi-4-mini: a JSON list of calls after the word `functools`."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_calls
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Malformed, Source


@register_tool_parser("phi4_mini_json")
class Phi4MiniJsonParser(ToolParser):
    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(self._calls, "functools")

    def _calls(self, source: Source) -> Parsing[None]:
        # A plain word, so what follows must be calls of offered functions and nothing less.
        if (yield from source.peek()) != "[":
            raise Malformed
        yield from json_calls(source, self.tools)
