"""One choice whose text is searched for reasoning and calls."""

from bisect import bisect_left

from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.generation.choice import Piece
from paddock.server.tools.parts import Part


class ReadChoice:
    def __init__(self, parser: AnswerParser) -> None:
        self.parser = parser
        self._offsets: list[int] = []

    def parts(self, piece: Piece) -> list[Part]:
        self._offsets += piece.text_offsets
        parts = self.parser.push(piece.text)
        return parts if piece.finish_reason is None else parts + self.parser.finish()

    def finish_reason(self, piece: Piece) -> str | None:
        """A call cut off is no call: only whole ones are a reason."""
        called = piece.finish_reason == "stop" and self.parser.whole_calls > 0
        return "tool_calls" if called else piece.finish_reason

    def reasoning_tokens(self) -> int:
        """Tokens that begin before the reasoning ends, its marks included."""
        return bisect_left(self._offsets, self.parser.reasoning_end)
