"""`paddock chat`: a conversation with a running server."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paddock.server.cli.remote_model import RemoteModel, converse, new_parser

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionChunk


def chat(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Talk line by line, or once with `--quick`; the exit status."""
    parser = new_parser(
        "chat", "Talk with a running server. Each line is a message; the conversation is kept."
    )
    parser.add_argument("--system-prompt", metavar="TEXT", help="first message, with the role system")
    parser.add_argument(
        "-q", "--quick", metavar="MESSAGE", help="send this message, print the answer and end"
    )
    options = parser.parse_args(argv)

    def begin(model: RemoteModel) -> Callable[[str], Iterator[str]]:
        return Conversation(model, options.system_prompt).answer

    return converse("chat", options, environ, begin)


class Conversation:
    """What was said so far."""

    def __init__(self, model: RemoteModel, system_prompt: str | None) -> None:
        self._model = model
        self.messages: list[Any] = []
        if system_prompt is not None:
            self.messages.append({"role": "system", "content": system_prompt})

    def answer(self, message: str) -> Iterator[str]:
        """The pieces of the answer. Only a message that was answered becomes part of the conversation."""
        asked = {"role": "user", "content": message}
        said: list[str] = []
        try:
            with self._model.words_for_errors(), self._stream([*self.messages, asked]) as stream:
                for choice in (choice for chunk in stream for choice in chunk.choices):
                    if choice.delta.content:
                        said.append(choice.delta.content)
                        yield choice.delta.content
        finally:
            if said:
                self.messages += [asked, {"role": "assistant", "content": "".join(said)}]

    def _stream(self, messages: list[Any]) -> "openai.Stream[ChatCompletionChunk]":
        return self._model.client.chat.completions.create(
            model=self._model.name, messages=messages, stream=True
        )
