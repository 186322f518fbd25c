"""Tool parsers by the name that --tool-call-parser takes."""

import importlib
from collections.abc import Callable

from paddock.server.tools.parser import ToolParser

BUILT_IN = (
    "deepseek_v3",
    "glm45",
    "granite",
    "hermes",
    "internlm",
    "jamba",
    "kimi_k2",
    "llama3_json",
    "llama4_pythonic",
    "mistral",
    "openai",
    "phi4_mini_json",
    "pythonic",
    "qwen3_coder",
)
"""Each is a module of `paddock.server.tools.parsers`, imported when asked for."""

_registered: dict[str, type[ToolParser]] = {}


class ToolParserError(Exception):
    """A parser cannot be had; the text says which ones can."""


def register_tool_parser(name: str) -> Callable[[type[ToolParser]], type[ToolParser]]:
    """Decorates a ToolParser, in a plugin file as here. A name of its own, or of a built-in one to replace."""

    def register(parser: type[ToolParser]) -> type[ToolParser]:
        if not (isinstance(parser, type) and issubclass(parser, ToolParser)):
            raise TypeError(f"the tool parser {name} must be a subclass of ToolParser, not {parser!r}")
        _registered[name] = parser
        return parser

    return register


def tool_parser(name: str) -> type[ToolParser]:
    """Raises ToolParserError for an unknown name."""
    if name not in _registered and name in BUILT_IN:
        importlib.import_module(f"paddock.server.tools.parsers.{name}")
    if name not in _registered:
        known = ", ".join(sorted({*BUILT_IN, *_registered}))
        raise ToolParserError(
            f"--tool-call-parser {name} is unknown. It must be one of {known}, or one that the file of "
            "--tool-parser-plugin registers."
        )
    return _registered[name]
