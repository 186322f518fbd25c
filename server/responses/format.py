"""Replies of /v1/responses."""

import time
from collections.abc import Callable, Iterator

from paddock.engine.messages import PositionLogprobs
from paddock.server.errors import CLIENT_CLOSED_REQUEST, ApiError
from paddock.server.generation.choice import Piece
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.generation.read_choice import ReadChoice
from paddock.server.protocol.replies import KEEP_ALIVE_EVENT, ContentLogprob, Usage, encode_reply
from paddock.server.protocol.response_replies import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    ResponseError,
    ResponseReply,
    ResponseUsage,
)
from paddock.server.responses.event_writer import EventWriter
from paddock.server.responses.output import Output
from paddock.server.tools.parts import CallEnd, Content


class ResponseFormat:
    """Fills in `response` while its one choice is generated, and calls `keep` when that has ended well."""

    keep_alive = KEEP_ALIVE_EVENT

    def __init__(
        self,
        response: ResponseReply,
        choice: ReadChoice,
        logprobs: LogprobFormat | None,
        keep: Callable[[], None],
    ) -> None:
        self.response = response
        self._choice = choice
        self._logprobs = logprobs
        self._keep = keep
        self._held: list[tuple[int, PositionLogprobs]] = []
        """With where their tokens begin."""
        self._events = EventWriter()
        self._output = Output(self._events, choice.parser.new_call_id)
        response.output = self._output.items

    def opening(self) -> bytes:
        created = self._lifecycle("created")
        if self.response.status == "queued":
            self.response.status = "in_progress"
            return created + self._lifecycle("queued") + self._lifecycle("in_progress")
        return created + self._lifecycle("in_progress")

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        return b"".join(self._read(piece))

    def closing(self, usage: Usage, shows_usage: bool) -> bytes:
        """Usage is part of every response."""
        self._end(usage)
        return self._lifecycle(self.response.status)

    def failed(self, error: ApiError) -> bytes:
        """Events, but for a response that was cancelled: there is none that says so."""
        response = self.response
        events = b"".join(self._output.close(whole=False))
        if error.status == CLIENT_CLOSED_REQUEST:
            response.status = "cancelled"
            return events
        response.status = "failed"
        response.error = ResponseError(
            "invalid_prompt" if error.status < 500 else "server_error", error.message
        )
        return events + self._lifecycle("failed")

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes:
        for _ in self._read(pieces[0]):
            pass  # the events of an answer that nobody streams
        self._end(usage)
        return encode_reply(self.response)

    def _read(self, piece: Piece) -> Iterator[bytes]:
        parts = self._choice.parts(piece)
        self._hold_logprobs(piece)
        for part in parts:
            logprobs = self._logprobs_of_text() if isinstance(part, Content) else []
            if isinstance(part, CallEnd):  # the tokens of a call are nobody's text
                self._held = []
            yield from self._output.add(part, logprobs)
        if piece.finish_reason is not None:
            cut_off = piece.finish_reason == "length"
            yield from self._output.close(whole=not cut_off)
            if cut_off:
                self.response.incomplete_details = IncompleteDetails()

    def _hold_logprobs(self, piece: Piece) -> None:
        """Until it is known what their tokens are. One that ends the answer has no text and is left out."""
        ended = piece.finish_reason == "stop" and not isinstance(piece.stop_reason, str)
        shown = piece.logprobs[:-1] if ended else piece.logprobs
        self._held += zip(piece.text_offsets, shown, strict=False)

    def _logprobs_of_text(self) -> list[ContentLogprob]:
        """Of the tokens held, but for those of reasoning."""
        held, self._held = self._held, []
        if self._logprobs is None:
            return []
        end = self._choice.parser.reasoning_end
        return self._logprobs.chat([position for offset, position in held if offset >= end]).content

    def _end(self, usage: Usage) -> None:
        response = self.response
        response.status = "completed" if response.incomplete_details is None else "incomplete"
        response.completed_at = int(time.time()) if response.status == "completed" else None
        cached = usage.prompt_tokens_details
        response.usage = ResponseUsage(
            usage.prompt_tokens,
            InputTokensDetails(0 if cached is None else cached.cached_tokens),
            usage.completion_tokens,
            OutputTokensDetails(self._choice.reasoning_tokens()),
            usage.total_tokens,
        )
        self._keep()

    def _lifecycle(self, status: str) -> bytes:
        return self._events.event(f"response.{status}", response=self.response)
