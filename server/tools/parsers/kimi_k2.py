"""Kimi K2: calls in a section of their own, each headed by an id such as `functions.get_weather:0`."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import named_call
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.section import calls_of_section
from paddock.server.tools.source import Source

SECTION_BEGIN = "<|tool_calls_section_begin|>"
SECTION_END = "<|tool_calls_section_end|>"
CALL_BEGIN = "<|tool_call_begin|>"
ARGUMENT_BEGIN = "<|tool_call_argument_begin|>"
CALL_END = "<|tool_call_end|>"
MAX_ID = 256


@register_tool_parser("kimi_k2")
class KimiK2Parser(ToolParser):
    markers = (SECTION_BEGIN, SECTION_END, CALL_BEGIN, ARGUMENT_BEGIN, CALL_END)

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(_section, SECTION_BEGIN)


def _section(source: Source) -> Parsing[None]:
    yield from calls_of_section(source, _call, CALL_BEGIN, CALL_END, SECTION_END)


def _call(source: Source) -> Parsing[None]:
    call_id = (yield from source.take_until(ARGUMENT_BEGIN, limit=MAX_ID)).strip()
    name = call_id.removeprefix("functions.").rpartition(":")[0] or call_id
    # The model knows its calls by these ids, and wants them back with the results.
    yield from named_call(source, name, call_id)
