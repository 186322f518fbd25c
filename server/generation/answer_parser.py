"""One choice's text as reasoning, content and calls."""

from collections.abc import Iterable, Iterator

from paddock.server.reasoning.parser import ReasoningParser
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd, Content, Part
from paddock.server.tools.spacing import Spacing


class AnswerParser:
    """Reasoning first; what is not reasoning is searched for calls. Either parser may be missing."""

    def __init__(
        self, reasoning: ReasoningParser | None, tools: ToolParser | None, *, one_call: bool = False
    ) -> None:
        self._reasoning = reasoning
        self._tools = tools
        self._one_call = one_call
        self._spacing = Spacing()
        self._begun = 0
        self.whole_calls = 0
        """Calls whose arguments came to their end."""

    def push(self, text: str) -> list[Part]:
        parts: Iterable[Part] = [Content(text)] if text else []
        if self._reasoning is not None:
            parts = self._reasoning.push(text)
        return list(self._spaced(self._searched(parts)))

    def finish(self) -> list[Part]:
        """Once, after all text."""
        parts = [] if self._reasoning is None else self._reasoning.finish()
        found = list(self._searched(parts))
        if self._tools is not None:
            found += self._tools.finish()
        return [*self._spaced(found), *self._spacing.end()]

    def new_call_id(self) -> str:
        assert self._tools is not None
        return self._tools.new_call_id()

    @property
    def reasoning_end(self) -> int:
        """Characters of the answer up to the end of its reasoning; far beyond its end while it thinks."""
        parsers = (self._reasoning, self._tools)
        return max((parser.reasoning_end for parser in parsers if parser is not None), default=0)

    def _searched(self, parts: Iterable[Part]) -> Iterator[Part]:
        for part in parts:
            if self._tools is not None and isinstance(part, Content):
                yield from self._tools.push(part.text)
            else:
                yield part

    def _spaced(self, parts: Iterable[Part]) -> Iterator[Part]:
        return self._spacing.pass_on(self._wanted(parts)) if self._tools is not None else iter(parts)

    def _wanted(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Without the further calls of an answer that was to have one."""
        for part in parts:
            self._begun += isinstance(part, CallBegin)
            if self._one_call and self._begun > 1 and isinstance(part, CallBegin | CallArguments | CallEnd):
                continue
            self.whole_calls += isinstance(part, CallEnd)
            yield part
