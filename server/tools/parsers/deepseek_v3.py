"""DeepSeek V3 and R1: calls in a section of their own, each with its arguments in a fenced block."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import named_call
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.section import calls_of_section
from paddock.server.tools.source import Source

SECTION_BEGIN = "<｜tool▁calls▁begin｜>"
SECTION_END = "<｜tool▁calls▁end｜>"
CALL_BEGIN = "<｜tool▁call▁begin｜>"
CALL_END = "<｜tool▁call▁end｜>"
SEPARATOR = "<｜tool▁sep｜>"
MAX_NAME = 256


@register_tool_parser("deepseek_v3")
class DeepSeekV3Parser(ToolParser):
    markers = (SECTION_BEGIN, SECTION_END, CALL_BEGIN, CALL_END, SEPARATOR)

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(_section, SECTION_BEGIN)


def _section(source: Source) -> Parsing[None]:
    yield from calls_of_section(source, _call, CALL_BEGIN, CALL_END, SECTION_END)


def _call(source: Source) -> Parsing[None]:
    yield from source.take_until(SEPARATOR, limit=MAX_NAME)  # the kind of tool: always "function"
    name = (yield from source.take_until("\n", limit=MAX_NAME)).strip()
    yield from source.peek_past_space()
    yield from source.expect("```json")
    yield from named_call(source, name)
    yield from source.skip_space()
    yield from source.takes("```")
