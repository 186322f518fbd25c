"""From a chat request to the sequences that answer it, whichever API it came by."""

from dataclasses import dataclass
from uuid import uuid4

from paddock.engine.messages import AddRequest
from paddock.engine.structured_output.constraint import Constraint
from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.generation.answer_parsers import AnswerReading
from paddock.server.generation.sampling import check_against_model
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.conversation import text_of
from paddock.server.routes.prepare import Prompt, sequences, truncate
from paddock.server.routes.rendering import encode_messages
from paddock.server.routes.token_only import as_served
from paddock.server.routes.tool_choice import refuse_unparsable_calls
from paddock.server.serving import Serving
from paddock.server.tools.forced import forced_calls, forced_parser


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """A turn that the engine can take."""

    request: ChatRequest
    """As it is served, which may differ from what was sent in what its answer shows."""

    prompt: Prompt
    sequences: list[AddRequest]
    reading: AnswerReading | None
    """None when the text is the answer as it is."""

    unique: str

    def new_parser(self) -> AnswerParser:
        return AnswerParser(None, None) if self.reading is None else self.reading.new_parser()


async def chat_turn(request: ChatRequest, serving: Serving, thinking_budget: int | None = None) -> ChatTurn:
    """`thinking_budget` in tokens. Raises ApiError 400 for what the model, its template or its context cannot take."""
    check_against_model(request, serving.limits)
    request = as_served(request, serving)
    refuse_unparsable_calls(request, serving)
    text, token_ids = await encode_messages(request, serving)
    reading = _reading(request, text, serving)
    if reading is not None and reading.needs_special_tokens:
        request = request.model_copy(update={"skip_special_tokens": False})
    prompt = Prompt(truncate(token_ids, request, serving), text)
    unique = uuid4().hex
    constraint = _constraint(request, text, serving, thinking_budget)
    made = await sequences(request, [prompt], request.prompt_logprobs, unique, serving, constraint)
    return ChatTurn(request, prompt, made, reading, unique)


def _constraint(
    request: ChatRequest, text: str, serving: Serving, thinking_budget: int | None
) -> Constraint | None:
    forced = (
        forced_calls(request.tool_choice, request.tools or (), request.parallel_tool_calls)
        if request.must_call
        else None
    )
    asked = request.constraint() if forced is None else forced
    field = "tool_choice" if forced is not None else "response_format"
    return serving.constraints.of_chat(asked, text, _continued(request), field, thinking_budget)


def _continued(request: ChatRequest) -> str | None:
    return text_of(request.messages[-1]) if request.continue_final_message else None


def _reading(request: ChatRequest, text: str, serving: Serving) -> AnswerReading | None:
    return serving.parsers.reading(
        request.tools or [] if request.may_call else [],
        parallel=request.parallel_tool_calls,
        prompt=text,
        continued=_continued(request),
        forced=forced_parser(request.tool_choice) if request.must_call else None,
    )
