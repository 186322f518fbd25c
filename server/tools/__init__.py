"""Tool calls in the text of a model: the parsers, and what a plugin file needs to add one."""

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.offered import OfferedTools
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd, Content, Part, Reasoning
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Malformed, Source

__all__ = [
    "CallArguments",
    "CallBegin",
    "CallEnd",
    "Content",
    "Malformed",
    "OfferedTools",
    "Parsing",
    "Part",
    "Reasoning",
    "Source",
    "ToolParser",
    "register_tool_parser",
]
