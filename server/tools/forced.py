"""Calls that the request demands: the tokens are constrained to JSON of our own form, whatever the model's format."""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.schema_walk import walk
from paddock.server.protocol.tools import NamedTool, Tool, ToolChoice
from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_calls, named_call
from paddock.server.tools.offered import OfferedTools
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.source import Source

MOST_CALLS = 64
"""In one answer, so that a list of calls comes to an end."""

ParserMaker = Callable[[OfferedTools], ToolParser]


class AnyCalls(ToolParser):
    """A list of objects, each with the name and the arguments of a function."""

    def grammar(self, source: Source) -> Parsing[None]:
        yield from source.skip_space()
        yield from json_calls(source)
        yield from source.skip_space()


class OneCall(ToolParser):
    """The arguments alone: whose they are was said in the request."""

    def __init__(self, tools: OfferedTools, name: str) -> None:
        super().__init__(tools)
        self._name = name

    def grammar(self, source: Source) -> Parsing[None]:
        yield from source.skip_space()
        yield from named_call(source, self._name)
        yield from source.skip_space()


def forced_parser(choice: ToolChoice) -> ParserMaker:
    """Reads what `forced_calls` makes the model write."""
    if isinstance(choice, NamedTool):
        name = choice.function.name
        return lambda tools: OneCall(tools, name)
    return AnyCalls


def forced_calls(choice: ToolChoice, tools: Sequence[Tool], parallel: bool) -> Constraint:
    """The constraint for `tool_choice` required, or a named function that is among `tools`."""
    if isinstance(choice, NamedTool):
        tool = next(tool for tool in tools if tool.function.name == choice.function.name)
        return Constraint(kind="json", text=json.dumps(_parameters(tool)))
    definitions = {f"tool-{index}": _moved(_parameters(tool), index) for index, tool in enumerate(tools)}
    schema = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_CALLS if parallel else 1,
        "items": {"anyOf": [_call(tool, index) for index, tool in enumerate(tools)]},
        "$defs": definitions,
    }
    return Constraint(kind="json", text=json.dumps(schema))


def _call(tool: Tool, index: int) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.function.name},
            "arguments": {"$ref": f"#/$defs/tool-{index}"},
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _parameters(tool: Tool) -> dict[str, Any]:
    """Always an object; keys that are not named are left out, as models are taught to call."""
    schema = copy.deepcopy(tool.function.parameters or {})
    schema.setdefault("type", "object")
    if "properties" in schema or not tool.function.parameters:
        schema.setdefault("additionalProperties", False)
    return schema


def _moved(schema: dict[str, Any], index: int) -> dict[str, Any]:
    """References count from the root, which is another one now."""
    for _, part in walk(schema):
        ref = part.get("$ref")
        if isinstance(ref, str) and ref.startswith("#"):
            part["$ref"] = f"#/$defs/tool-{index}{ref[1:]}"
    return schema
