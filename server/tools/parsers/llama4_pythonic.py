"""Llama 4: a list of Python calls, at times between `<|python_start|>` and `<|python_end|>`."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.python_call import python_calls
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("llama4_pythonic")
class Llama4PythonicParser(ToolParser):
    markers = ("<|python_start|>", "<|python_end|>")

    def grammar(self, source: Source) -> Parsing[None]:
        yield from source.skip_space()
        yield from source.takes("<|python_start|>")
        yield from python_calls(source, self.tools)
        yield from source.skip_space()
        yield from source.takes("<|python_end|>")
