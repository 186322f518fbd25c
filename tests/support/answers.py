"""What parsers made of an answer, joined, so that answers cut differently can be compared."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from paddock.server.tools import CallArguments, CallBegin, CallEnd, Content, OfferedTools, Part, Reasoning

OFFERED = OfferedTools(
    {
        "get_weather": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "units": {"enum": ["C", "F"]},
                "hourly": {"type": "boolean"},
                "places": {"type": "array", "items": {"type": "string"}},
                "options": {"anyOf": [{"type": "object"}, {"type": "null"}]},
            },
        },
        "now": {"type": "object", "properties": {}},
        "write_file": {
            "properties": {"path": {"type": "string"}, "text": {"type": "string"}, "mode": {}},
        },
    }
)


class Parser(Protocol):
    def push(self, text: str) -> list[Part]: ...

    def finish(self) -> list[Part]: ...


@dataclass
class Call:
    name: str
    arguments: str = ""
    whole: bool = False
    call_id: str | None = None

    @property
    def values(self) -> Any:
        return json.loads(self.arguments)


@dataclass
class Answer:
    content: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if isinstance(part, Content):
                self.content += part.text
            elif isinstance(part, Reasoning):
                self.reasoning += part.text
            elif isinstance(part, CallBegin):
                self.calls.append(Call(part.name, call_id=part.call_id))
            elif isinstance(part, CallArguments):
                self.calls[-1].arguments += part.text
            else:
                assert isinstance(part, CallEnd)
                self.calls[-1].whole = True


def read(parser: Parser, chunks: Iterable[str]) -> Answer:
    answer = Answer()
    for chunk in chunks:
        answer.add(parser.push(chunk))
    answer.add(parser.finish())
    return answer


def cuts(text: str) -> Iterator[list[str]]:
    """The text in characters, and in two pieces at each of its borders."""
    yield list(text)
    for border in range(1, len(text)):
        yield [text[:border], text[border:]]
