"""Replies of /v1/chat/completions whose text is searched for reasoning and calls."""

from collections.abc import Callable, Iterable, Iterator

from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.generation.chat_format import ChatFormat, ChatOptions
from paddock.server.generation.choice import Piece
from paddock.server.generation.format import ReplyIdentity
from paddock.server.generation.read_choice import ReadChoice
from paddock.server.protocol.replies import (
    ChatChoice,
    ChatMessage,
    ChunkChoice,
    CompletionTokensDetails,
    FinishChoice,
    FunctionCall,
    FunctionDelta,
    ParsedDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd, Content, Part, Reasoning


class ParsedChoice(ReadChoice):
    """One choice, and what the chunks so far have told of its calls."""

    def __init__(self, parser: AnswerParser) -> None:
        super().__init__(parser)
        self._calls = 0

    def deltas(self, parts: Iterable[Part], shows_reasoning: bool) -> Iterator[ParsedDelta]:
        for part in parts:
            if isinstance(part, Content):
                yield ParsedDelta(content=part.text)
            elif isinstance(part, Reasoning):
                if shows_reasoning:
                    yield ParsedDelta(reasoning=part.text, reasoning_content=part.text)
            elif not isinstance(part, CallEnd):
                yield ParsedDelta(tool_calls=[self._call_delta(part)])

    def _call_delta(self, part: CallBegin | CallArguments) -> ToolCallDelta:
        if isinstance(part, CallArguments):
            return ToolCallDelta(self._calls - 1, FunctionDelta(part.text))
        self._calls += 1
        call_id = part.call_id or self.parser.new_call_id()
        return ToolCallDelta(self._calls - 1, FunctionDelta("", part.name), call_id, "function")

    def message(self, parts: Iterable[Part], role: str, echoed: str, shows_reasoning: bool) -> ChatMessage:
        content, reasoning = "", ""
        calls: list[ToolCall] = []
        for delta in self.deltas(parts, shows_reasoning):
            content += delta.content or ""
            reasoning += delta.reasoning or ""
            for call in delta.tool_calls or ():
                if call.id and call.function.name:
                    calls.append(ToolCall(call.id, FunctionCall(call.function.name, "")))
                calls[-1].function.arguments += call.function.arguments
        message = ChatMessage(echoed + content, role)
        if reasoning:
            message.reasoning = message.reasoning_content = reasoning
        if calls:
            message.tool_calls = calls
            message.content = message.content or None
        return message


class ParsedChatFormat(ChatFormat):
    def __init__(
        self,
        identity: ReplyIdentity,
        n: int,
        options: ChatOptions,
        new_parser: Callable[[], AnswerParser],
        shows_reasoning: bool,
    ) -> None:
        super().__init__(identity, n, options)
        self._choices = [ParsedChoice(new_parser()) for _ in range(n)]
        self._shows_reasoning = shows_reasoning

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        choice = self._choices[index]
        deltas = list(choice.deltas(choice.parts(piece), self._shows_reasoning))
        usage = usage and self._with_reasoning(usage)
        shows_logprobs = self._logprobs is not None and piece.logprobs
        if not deltas and (piece.token_ids or shows_logprobs):
            deltas = [ParsedDelta(content="")]
        chunks = [ChunkChoice(index, delta) for delta in deltas]
        if chunks and self._logprobs is not None:
            chunks[0].logprobs = self._logprobs.chat(piece.logprobs)
        if chunks and piece.token_ids is not None:
            chunks[0].token_ids = piece.token_ids
        events = [self._chunk(chunk, usage) for chunk in chunks]
        if piece.finish_reason is not None:
            finish = FinishChoice(index, ParsedDelta(), choice.finish_reason(piece), piece.stop_reason)
            events.append(self._chunk(finish, usage))
        return b"".join(events)

    def usage_event(self, usage: Usage) -> bytes:
        return super().usage_event(self._with_reasoning(usage))

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes:
        made = list(map(self._choice, range(len(pieces)), pieces))
        return self._encoded(made, pieces, self._with_reasoning(usage))

    def _choice(self, index: int, piece: Piece) -> ChatChoice:
        choice = self._choices[index]
        options = self._options
        made = super()._choice(index, piece)
        made.message = choice.message(
            choice.parts(piece), options.role, options.echoed, self._shows_reasoning
        )
        made.finish_reason = choice.finish_reason(piece)
        return made

    def _with_reasoning(self, usage: Usage) -> Usage:
        usage.completion_tokens_details = CompletionTokensDetails(
            sum(choice.reasoning_tokens() for choice in self._choices)
        )
        return usage
