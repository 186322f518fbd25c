"""gpt-oss: calls are harmony messages to `functions.<name>`."""

from paddock.server.tools.harmony import MARKERS, harmony_messages
from paddock.server.tools.incremental import Parsing
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source


@register_tool_parser("openai")
class OpenAiParser(ToolParser):
    markers = MARKERS
    reads_reasoning = True

    def grammar(self, source: Source) -> Parsing[None]:
        yield from harmony_messages(self, source, finds_calls=True)
