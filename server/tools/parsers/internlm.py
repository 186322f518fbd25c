"""InternLM 2 and 3: `<|action_start|><|plugin|>{"name": …, "parameters": {…}}<|action_end|>`."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_call
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("internlm")
class InternLmParser(ToolParser):
    markers = ("<|action_start|>", "<|plugin|>", "<|action_end|>")

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(_call, "<|action_start|>")


def _call(source: Source) -> Parsing[None]:
    yield from source.peek_past_space()
    yield from source.expect("<|plugin|>")
    yield from json_call(source)
    yield from source.skip_space()
    yield from source.takes("<|action_end|>")
