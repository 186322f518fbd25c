"""Replies of /v1/completions."""

from dataclasses import dataclass

from paddock.engine.messages import PositionLogprobs
from paddock.server.generation.choice import Piece
from paddock.server.generation.format import DoneMarked, ReplyIdentity
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.protocol.replies import (
    CompletionLogprobs,
    Reply,
    TextChoice,
    Usage,
    encode_reply,
    event,
)


@dataclass(frozen=True, slots=True)
class EchoedPrompt:
    """A prompt that begins its own answer: the text, and where each token starts in it."""

    text: str
    token_ids: list[int]
    text_offsets: list[int]


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    """What of an answer is shown. `logprobs` is how many top ones, None for none at all."""

    logprobs: int | None
    prompt_logprobs: bool
    shows_tokens: bool
    """False when a token is generated only because the engine cannot do without (max_tokens 0 with echo)."""

    prompt_token_ids: list[list[int]] | None = None
    """Of each prompt, when the caller wants token ids."""


class CompletionFormat(DoneMarked):
    """Choice i belongs to prompt i // n; with echo each choice begins with its prompt."""

    def __init__(
        self,
        identity: ReplyIdentity,
        n: int,
        echoed: list[EchoedPrompt],
        options: CompletionOptions,
        logprobs: LogprobFormat,
    ) -> None:
        self._identity = identity
        self._n = n
        self._echoed = echoed
        self._options = options
        self._logprobs = logprobs
        self._begun: set[int] = set()

    def opening(self) -> bytes:
        return b""

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        choice = self._choice(index, piece)
        tokens_shown = choice.logprobs is not None and choice.logprobs.tokens
        if not (choice.text or tokens_shown or choice.token_ids) and choice.finish_reason is None:
            return b""
        return event(self._reply([choice], usage))

    def usage_event(self, usage: Usage) -> bytes:
        return event(self._reply([], usage))

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes:
        return encode_reply(
            self._reply([self._choice(index, piece) for index, piece in enumerate(pieces)], usage)
        )

    def _choice(self, index: int, piece: Piece) -> TextChoice:
        echoed = self._echoed[index // self._n] if self._echoed else None
        begins = index not in self._begun
        self._begun.add(index)
        shown = piece if self._options.shows_tokens else Piece(finish_reason=piece.finish_reason)
        text = echoed.text + shown.text if echoed is not None and begins else shown.text
        logprobs = None
        if self._options.logprobs is not None:
            first = piece.prompt_logprobs or [] if begins else None
            logprobs = self._token_logprobs(shown, echoed, first, self._options.logprobs)
        choice = TextChoice(index, text, logprobs, shown.finish_reason, shown.stop_reason)
        if self._options.prompt_logprobs and piece.prompt_logprobs is not None:
            choice.prompt_logprobs = self._logprobs.prompt(piece.prompt_logprobs)
        if self._options.prompt_token_ids is not None:
            choice.token_ids = shown.token_ids or []
            if begins:
                choice.prompt_token_ids = self._options.prompt_token_ids[index // self._n]
        return choice

    def _token_logprobs(
        self, piece: Piece, echoed: EchoedPrompt | None, prompt: list[PositionLogprobs] | None, top: int
    ) -> CompletionLogprobs:
        """`prompt` holds the prompt's values in the first piece of a choice, else None."""
        positions: list[PositionLogprobs | None] = [*piece.logprobs]
        tokens = [position[0].token_id for position in piece.logprobs]
        offsets = piece.text_offsets[: len(tokens)]
        if echoed is not None:
            offsets = [len(echoed.text) + offset for offset in offsets]
            if prompt is not None:
                positions = [None, *prompt, *positions]
                tokens = echoed.token_ids + tokens
                offsets = echoed.text_offsets + offsets
        return self._logprobs.completion(positions, tokens, offsets, top)

    def _reply(self, choices: list[TextChoice], usage: Usage | None) -> Reply:
        identity = self._identity
        return Reply(identity.id, "text_completion", identity.created, identity.model, choices, usage)
