"""The text of one answer while it grows, and the ways a grammar reads it.

A grammar is a generator: it yields None when it cannot go on without more text, and the readers here do so for it.
What a reader decides depends on the text alone, never on where the text was cut into pieces.
"""

import re
from collections.abc import Container, Generator
from typing import TypeVar

Result = TypeVar("Result")
Waiting = Generator[None, None, Result]

SPACE = " \t\r\n"
NEVER = 2**63
"""`Source.reasoning_end` while the model thinks."""

_SPACES = re.compile(r"[ \t\r\n]*")


class Malformed(Exception):
    """The text is not what the grammar expects."""


class EndOfText(Malformed):
    """The answer ended where the grammar expects more."""


class Source:
    """`text[at:]` is unread; `text[:at]` is read and has not become a part of the answer yet."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.closed = False
        self.reasoning_end = 0
        """Characters of the answer up to the end of its reasoning; NEVER while it lasts."""

        self._committed = 0

    def add(self, text: str) -> None:
        self.text += text

    def commit(self) -> None:
        """All that was read has its place in the answer, or is punctuation of the format."""
        self._committed += self.at
        self.text = self.text[self.at :]
        self.at = 0

    def read_in_vain(self) -> str:
        """What was read since the last commit; it is committed now."""
        text = self.text[: self.at]
        self.commit()
        return text

    @property
    def position(self) -> int:
        """Characters read since the answer began."""
        return self._committed + self.at

    def more(self) -> Waiting[None]:
        """Wait for text beyond what is there. Raises EndOfText."""
        if self.closed:
            raise EndOfText
        yield None

    def peek(self) -> Waiting[str]:
        """The next character, unread. Raises EndOfText."""
        while self.at >= len(self.text):
            yield from self.more()
        return self.text[self.at]

    def peek_past_space(self) -> Waiting[str]:
        """Read white space; the character after it. Raises EndOfText."""
        while True:
            self.at = self._end_of_space()
            if self.at < len(self.text):
                return self.text[self.at]
            yield from self.more()

    def skip_space(self) -> Waiting[None]:
        """Read white space, also the last of the answer."""
        while not self.closed and self._end_of_space() == len(self.text):
            yield None
        self.at = self._end_of_space()

    def _end_of_space(self) -> int:
        found = _SPACES.match(self.text, self.at)
        assert found is not None
        return found.end()

    def sees(self, *literals: str) -> Waiting[str | None]:
        """Which of the literals comes next, unread; None when none does."""
        while True:
            rest = self.text[self.at : self.at + max(map(len, literals))]
            for literal in literals:
                if rest.startswith(literal):
                    return literal
            if self.closed or not any(literal.startswith(rest) for literal in literals):
                return None
            yield None

    def takes(self, *literals: str) -> Waiting[str | None]:
        """The same, and what is found is read."""
        found = yield from self.sees(*literals)
        self.at += len(found or "")
        return found

    def expect(self, *literals: str) -> Waiting[str]:
        """Read one of the literals. Raises Malformed."""
        found = yield from self.takes(*literals)
        if found is None:
            rest = self.text[self.at :]
            raise EndOfText if any(literal.startswith(rest) for literal in literals) else Malformed
        return found

    def take_while(self, characters: Container[str]) -> Waiting[str]:
        """Read as long as characters are of the set; the end of the answer is an end, too."""
        end = self.at
        while True:
            while end < len(self.text) and self.text[end] in characters:
                end += 1
            if end < len(self.text) or self.closed:
                break
            yield None
        taken = self.text[self.at : end]
        self.at = end
        return taken

    def take_until(self, *marks: str, limit: int | None = None) -> Waiting[str]:
        """Read through the first of the marks; the text before it.

        Raises Malformed, and reads nothing, when there is none within `limit` characters; EndOfText at the end.
        """
        checked = 0
        while True:
            found = self.find(marks, checked)
            before = (found[0] if found else self.settled(marks)) - self.at
            if limit is not None and before > limit:
                raise Malformed
            if found:
                taken = self.text[self.at : found[0]]
                self.at = found[0] + len(found[1])
                return taken
            checked = max(0, len(self.text) - self.at - max(map(len, marks)) + 1)
            yield from self.more()

    def find(self, marks: tuple[str, ...], offset: int = 0) -> tuple[int, str] | None:
        """The first mark in the unread text, as its index in `text` and itself. No mark may begin with another."""
        best: tuple[int, str] | None = None
        for mark in marks:
            index = self.text.find(mark, self.at + offset)
            if index >= 0 and (best is None or index < best[0]):
                best = (index, mark)
        return best

    def settled(self, marks: tuple[str, ...]) -> int:
        """Index in `text` up to which no mark can begin, whatever comes."""
        settled = len(self.text)
        for mark in marks:
            start = self.text.find(mark[0], max(self.at, len(self.text) - len(mark) + 1))
            while 0 <= start < settled:
                if mark.startswith(self.text[start:]):
                    settled = start
                start = self.text.find(mark[0], start + 1)
        return settled
