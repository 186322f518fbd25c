"""Content blocks of a Messages conversation."""

from typing import Annotated, Any, Literal

from pydantic import Field

from paddock.server.protocol.strict_model import StrictModel


class CacheControl(StrictModel):
    """Accepted without effect: every prompt's prefix is cached, whether marked or not."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class _Block(StrictModel):
    cache_control: CacheControl | None = None


class TextBlock(_Block):
    type: Literal["text"]
    text: str
    citations: list[Any] | None = Field(None, max_length=0)


class ThinkingBlock(StrictModel):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class ToolUseBlock(_Block):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(_Block):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | Annotated[list[TextBlock], Field(fail_fast=True)] = ""
    is_error: bool = False


Texts = Annotated[list[TextBlock], Field(fail_fast=True)]
Spoken = Annotated[TextBlock | ToolResultBlock, Field(discriminator="type")]
Answered = Annotated[TextBlock | ThinkingBlock | ToolUseBlock, Field(discriminator="type")]


class UserTurn(StrictModel):
    role: Literal["user"]
    content: str | Annotated[list[Spoken], Field(fail_fast=True)]


class AssistantTurn(StrictModel):
    role: Literal["assistant"]
    content: str | Annotated[list[Answered], Field(fail_fast=True)]


class SystemTurn(StrictModel):
    role: Literal["system"]
    content: str | Texts


Turn = Annotated[UserTurn | AssistantTurn | SystemTurn, Field(discriminator="role")]


def joined(content: str | list[TextBlock]) -> str:
    return content if isinstance(content, str) else "\n".join(block.text for block in content)
