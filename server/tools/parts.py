"""What the text of an answer turns out to be, piece by piece."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """Text for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text the model wrote for itself."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegin:
    """A call of the function `name`. `call_id` is None where the format has no ids of its own."""

    name: str
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of the call's arguments. The texts of one call, joined, are a JSON object once the call has ended."""

    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The arguments are whole."""


Part = Content | Reasoning | CallBegin | CallArguments | CallEnd
