"""Llama 3: the whole answer is `{"name": …, "parameters": {…}}`, several parted by semicolons."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_call
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("llama3_json")
class Llama3JsonParser(ToolParser):
    markers = ("<|python_tag|>",)

    def grammar(self, source: Source) -> Parsing[None]:
        yield from source.skip_space()
        yield from source.takes("<|python_tag|>")
        while True:
            yield from json_call(source, self.tools)
            yield from source.skip_space()
            if (yield from source.takes(";")) is None:
                return
