"""gpt-oss: the analysis channel of harmony is the reasoning."""

from paddock.server.reasoning.parser import ReasoningParser
from paddock.server.tools.harmony import MARKERS, harmony_messages
from paddock.server.tools.incremental import Parsing
from paddock.server.tools.source import Source


class Parser(ReasoningParser):
    markers = MARKERS

    def grammar(self, source: Source) -> Parsing[None]:
        yield from harmony_messages(self, source, finds_calls=False)
