"""The output items of a response, and the events that tell how they grow."""

from collections.abc import Callable, Iterator

from paddock.server.protocol.replies import ContentLogprob
from paddock.server.protocol.response_replies import (
    OutputCall,
    OutputItem,
    OutputMessage,
    OutputReasoning,
    OutputReasoningText,
    OutputText,
)
from paddock.server.responses.conversation import new_id
from paddock.server.responses.event_writer import EventWriter
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd, Content, Part, Reasoning


class Output:
    """Takes the parts of an answer in their order. One item is open at a time; `items` holds the closed ones."""

    def __init__(self, events: EventWriter, new_call_id: Callable[[], str]) -> None:
        self._events = events
        self._new_call_id = new_call_id
        self._open: OutputItem | None = None
        self._texts: list[str] = []
        self._logprobs: list[ContentLogprob] = []
        self.items: list[OutputItem] = []

    def add(self, part: Part, logprobs: list[ContentLogprob]) -> Iterator[bytes]:
        """Events of one part. `logprobs` are of tokens of text, and are left out beside any other part."""
        match part:
            case Content(text):
                yield from self._text(text, logprobs)
            case Reasoning(text):
                yield from self._reasoning(text)
            case CallBegin(name, call_id):
                yield from self.close()
                call = OutputCall(new_id("function_call"), call_id or self._new_call_id(), name)
                yield self._begin(call)
            case CallArguments(text):
                self._texts.append(text)
                yield self._of_item("function_call_arguments.delta", delta=text)
            case CallEnd():
                yield from self.close()

    def close(self, whole: bool = True) -> Iterator[bytes]:
        """End the open item, if any; `whole` is False for one that the length cut off."""
        item, text = self._open, "".join(self._texts)
        if item is None:
            return
        if isinstance(item, OutputMessage):
            part = OutputText(text, logprobs=self._logprobs)
            item.content = [part]
            yield self._of_part("output_text.done", text=text, logprobs=part.logprobs)
            yield self._of_part("content_part.done", part=part)
        elif isinstance(item, OutputReasoning):
            thought = OutputReasoningText(text)
            item.content = [thought]
            yield self._of_part("reasoning_text.done", text=text)
            yield self._of_part("content_part.done", part=thought)
        else:
            item.arguments = text
            yield self._of_item("function_call_arguments.done", name=item.name, arguments=text)
        item.status = "completed" if whole else "incomplete"
        yield self._events.event("response.output_item.done", output_index=len(self.items), item=item)
        self.items.append(item)
        self._open, self._texts, self._logprobs = None, [], []

    def _text(self, text: str, logprobs: list[ContentLogprob]) -> Iterator[bytes]:
        if not isinstance(self._open, OutputMessage):
            yield from self.close()
            yield self._begin(OutputMessage(new_id("message")))
            yield self._of_part("content_part.added", part=OutputText())
        self._texts.append(text)
        self._logprobs += logprobs
        yield self._of_part("output_text.delta", delta=text, logprobs=logprobs)

    def _reasoning(self, text: str) -> Iterator[bytes]:
        if not isinstance(self._open, OutputReasoning):
            yield from self.close()
            yield self._begin(OutputReasoning(new_id("reasoning")))
            yield self._of_part("content_part.added", part=OutputReasoningText())
        self._texts.append(text)
        yield self._of_part("reasoning_text.delta", delta=text)

    def _begin(self, item: OutputItem) -> bytes:
        self._open = item
        return self._events.event("response.output_item.added", output_index=len(self.items), item=item)

    def _of_part(self, kind: str, **fields: object) -> bytes:
        return self._of_item(kind, content_index=0, **fields)

    def _of_item(self, kind: str, **fields: object) -> bytes:
        assert self._open is not None, "a delta follows the beginning of its item"
        place = {"output_index": len(self.items), "item_id": self._open.id}
        return self._events.event(f"response.{kind}", **place, **fields)
