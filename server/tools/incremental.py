"""Run a grammar over an answer that comes in pieces."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import TypeVar

from paddock.server.tools.parts import CallArguments, CallBegin, Content, Part, Reasoning
from paddock.server.tools.source import EndOfText, Malformed, Source

Result = TypeVar("Result")
Parsing = Generator[Part | None, None, Result]
"""A grammar: yields parts as it understands them, and None when it needs more text."""


class IncrementalParser(ABC):
    """One per choice. All text goes through `push`, then comes one `finish`.

    However the text is cut, the parts are the same but for where their texts are cut. No text makes it raise:
    what the grammar cannot read is content.
    """

    def __init__(self) -> None:
        self._source = Source()
        self._run = self._whole_answer()
        self._only_content = False

    @abstractmethod
    def grammar(self, source: Source) -> Parsing[None]:
        """Read an answer from its beginning. It may raise Malformed; text after it returns is content."""

    def push(self, text: str) -> list[Part]:
        """What these characters made clear."""
        if self._only_content:
            return [Content(text)] if text else []
        self._source.add(text)
        return self._parts()

    def finish(self) -> list[Part]:
        """What the end of the answer made clear."""
        self._source.closed = True
        return self._parts()

    @property
    def reasoning_end(self) -> int:
        """Characters of the answer up to the end of its reasoning; 0 without any."""
        return self._source.reasoning_end

    def _parts(self) -> list[Part]:
        parts: list[Part] = []
        for part in self._run:
            if part is None:
                break
            self._source.commit()
            _append(parts, part)
        return parts

    def _whole_answer(self) -> Parsing[None]:
        yield from self.attempt(self.grammar(self._source))
        self._only_content = True
        yield from shown_until(self._source)

    def attempt(self, block: Parsing[None]) -> Parsing[bool]:
        """Run a block of the grammar. When it fails, what it read without result is content, and False returned."""
        source = self._source
        called = False
        try:
            for part in block:
                called = called or isinstance(part, CallBegin)
                yield part
        except Malformed as fault:
            cut_off = isinstance(fault, EndOfText)
            if cut_off:
                source.at = len(source.text)
            rest = source.read_in_vain()
            # Of a call that was cut off, what is left is punctuation, no text for a reader.
            if rest and not (cut_off and called):
                yield Content(rest)
            return False
        source.commit()
        return True

    def calls_at(self, block: Callable[[Source], Parsing[None]], *marks: str) -> Parsing[None]:
        """Content, and a block of calls after each of the marks."""
        while (yield from shown_until(self._source, *marks)) is not None:
            yield from self.attempt(block(self._source))


def shown_until(source: Source, *marks: str) -> Parsing[str | None]:
    """Content up to the first of the marks, which is read and returned; None at the end of the answer."""
    return (yield from _until(source, marks, Content))


def reasoned_until(source: Source, *marks: str) -> Parsing[str | None]:
    """The same for reasoning; white space before the mark is left out."""
    return (yield from _until(source, marks, Reasoning))


def _until(
    source: Source, marks: tuple[str, ...], part: type[Content] | type[Reasoning]
) -> Parsing[str | None]:
    while True:
        found = source.find(marks)
        end = found[0] if found else source.settled(marks) if marks else len(source.text)
        if source.closed and found is None:
            end = len(source.text)
        text = source.text[source.at : end]
        if part is Reasoning:
            text = text.rstrip()
        if text:
            source.at += len(text)
            yield part(text)
        if found:
            index = source.text.index(found[1], source.at)
            source.at = index + len(found[1])
            return found[1]
        if source.closed:
            source.at = len(source.text)
            return None
        yield None


def _append(parts: list[Part], part: Part) -> None:
    """Neighbours of one kind become one part: fewer chunks for the client."""
    last = parts[-1] if parts else None
    if isinstance(part, CallArguments) and isinstance(last, CallArguments):
        parts[-1] = CallArguments(last.text + part.text)
    elif isinstance(part, Content) and isinstance(last, Content):
        parts[-1] = Content(last.text + part.text)
    elif isinstance(part, Reasoning) and isinstance(last, Reasoning):
        parts[-1] = Reasoning(last.text + part.text)
    else:
        parts.append(part)
