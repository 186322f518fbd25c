"""The whole answer is a list of Python calls: Llama 3.2, ToolACE and others."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.python_call import python_calls
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("pythonic")
class PythonicParser(ToolParser):
    def grammar(self, source: Source) -> Parsing[None]:
        yield from python_calls(source, self.tools)
