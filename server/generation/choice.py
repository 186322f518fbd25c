"""One choice of an answer: tokens in, text out, until EOS, a stop string or the length ends it."""

from dataclasses import dataclass, field

from paddock.engine.messages import PositionLogprobs, RequestOutput
from paddock.server.tokens.detokenizer import Detokenizer
from paddock.server.tokens.stop_strings import StopHit, StopStrings


@dataclass(slots=True)
class Piece:
    """What some tokens brought to a choice."""

    text: str = ""
    num_tokens: int = 0
    token_ids: list[int] | None = None
    """Kept when the caller wants them."""

    logprobs: list[PositionLogprobs] = field(default_factory=list)
    text_offsets: list[int] = field(default_factory=list)
    """Per token: characters of generated text before it. They tell tokens of reasoning from others."""
    prompt_logprobs: list[PositionLogprobs] | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None

    def extend(self, later: "Piece") -> None:
        self.text += later.text
        self.num_tokens += later.num_tokens
        if later.token_ids is not None:
            self.token_ids = (self.token_ids or []) + later.token_ids
        self.logprobs += later.logprobs
        self.text_offsets += later.text_offsets
        self.prompt_logprobs = self.prompt_logprobs or later.prompt_logprobs
        self.finish_reason = later.finish_reason
        self.stop_reason = later.stop_reason


class Choice:
    """Text side of one sequence."""

    def __init__(
        self,
        detokenizer: Detokenizer,
        stop: list[str],
        *,
        min_tokens: int = 0,
        include_stop: bool = False,
        keep_ids: bool = False,
    ) -> None:
        self._detokenizer = detokenizer
        self._stops = StopStrings(stop, include_stop) if stop else None
        self._min_tokens = min_tokens
        self._include_stop = include_stop
        self._keep_ids = keep_ids
        self._characters = 0
        self.num_tokens = 0
        self.finished = False

    def push(self, output: RequestOutput) -> Piece:
        """Text and logprobs that this output adds. After a stop string the piece is the last one.

        The caller ends the sequence in the engine when a piece is finished and the output was not.
        """
        piece = Piece(prompt_logprobs=output.prompt_logprobs)
        last = len(output.new_token_ids) - 1
        for position, token_id in enumerate(output.new_token_ids):
            ends = output.finish_reason == "stop" and position == last and not self._include_stop
            piece.text_offsets.append(self._characters)
            if output.logprobs is not None:
                piece.logprobs.append(output.logprobs[position])
            self._add_token(piece, token_id, not ends)
            if piece.finish_reason is not None:
                self.finished = True
                break
        else:
            if output.finish_reason is not None:
                self._finish(piece, output)
        if self._keep_ids:
            piece.token_ids = output.new_token_ids[: piece.num_tokens]
        return piece

    def _add_token(self, piece: Piece, token_id: int, shown: bool) -> None:
        self.num_tokens += 1
        piece.num_tokens += 1
        if not shown:
            return
        text = self._detokenizer.push(token_id)
        self._characters += len(text)
        self._show(piece, text)

    def _show(self, piece: Piece, text: str) -> None:
        if self._stops is None:
            piece.text += text
            return
        found = self._stops.push(text, self.num_tokens >= self._min_tokens)
        if isinstance(found, StopHit):
            piece.text += found.text
            piece.finish_reason, piece.stop_reason = "stop", found.stop
        else:
            piece.text += found

    def _finish(self, piece: Piece, output: RequestOutput) -> None:
        self.finished = True
        self._show(piece, self._detokenizer.flush())
        if piece.finish_reason is not None:
            return
        if self._stops is not None:
            piece.text += self._stops.flush()
        piece.finish_reason, piece.stop_reason = output.finish_reason, output.stop_reason
