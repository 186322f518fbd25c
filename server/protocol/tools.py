"""Functions that a request offers, and whether the model may call them."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from paddock.server.protocol.strict_model import StrictModel

MAX_TOOLS = 512
_NAME = re.compile(r"[A-Za-z0-9_.\-/:]{1,128}")


class Function(StrictModel):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if _NAME.fullmatch(name) is None:
            raise ValueError("must have 1 to 128 letters, digits or characters of _.-/:")
        return name


class Tool(StrictModel):
    type: Literal["function"]
    function: Function

    def plain(self) -> dict[str, Any]:
        """As templates read it: what is unset or null is left out."""
        function = {name: value for name, value in self.function if value is not None}
        return {"type": self.type, "function": function}


class FunctionName(StrictModel):
    name: str


class NamedTool(StrictModel):
    type: Literal["function"]
    function: FunctionName


Tools = Annotated[list[Tool], Field(fail_fast=True, min_length=1, max_length=MAX_TOOLS)]
ToolChoice = Literal["none", "auto", "required"] | NamedTool


def check_tools(tools: Sequence[Tool]) -> None:
    """Raise ValueError that begins with the field when one name stands for two functions."""
    seen: dict[str, Mapping[str, Any] | None] = {}
    for tool in tools:
        name, parameters = tool.function.name, tool.function.parameters
        if seen.setdefault(name, parameters) != parameters:
            raise ValueError(f"tools holds two functions {name} with different parameters; rename one")


def check_tool_choice(choice: ToolChoice, tools: Sequence[Tool]) -> None:
    """Raise ValueError that begins with the field when a choice has nothing to choose from."""
    if choice in ("none", "auto"):
        return
    if not tools:
        raise ValueError("tool_choice needs tools; only none and auto go without")
    names = [tool.function.name for tool in tools]
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise ValueError(f"tool_choice names {choice.function.name!r}; tools holds {', '.join(names)[:500]}")
