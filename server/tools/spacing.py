"""White space of the content around calls: part of the format there, part of the text everywhere else."""

from collections.abc import Iterable, Iterator

from paddock.server.tools.parts import CallBegin, Content, Part, Reasoning


class Spacing:
    """Leaves out the white space between content and a call, and between calls."""

    def __init__(self) -> None:
        self._held = ""
        self._called = False
        self._said = False

    def pass_on(self, parts: Iterable[Part]) -> Iterator[Part]:
        for part in parts:
            if isinstance(part, Content):
                yield from self._content(part.text)
                continue
            if isinstance(part, CallBegin):
                self._held = ""
                self._called = True
            elif isinstance(part, Reasoning):
                yield from self.end()
            yield part

    def end(self) -> Iterator[Part]:
        """What was held back, when no call follows."""
        if self._held and not self._called:
            yield Content(self._held)
        self._held = ""

    def _content(self, text: str) -> Iterator[Part]:
        text = self._held + text
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if self._called and not self._said:
            shown = shown.lstrip()
        if shown:
            self._said = True
            yield Content(shown)
