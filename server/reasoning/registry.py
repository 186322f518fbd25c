"""Reasoning parsers by the name that --reasoning-parser takes."""

import importlib

from paddock.server.reasoning.parser import ReasoningParser

BUILT_IN = (
    "deepseek_r1",
    "glm45",
    "granite",
    "hunyuan_a13b",
    "mistral",
    "openai_gptoss",
    "qwen3",
    "seed_oss",
    "step3",
)
"""Each is a module of `paddock.server.reasoning.parsers` with a class `Parser`, imported when asked for."""

OLDER_NAMES = {"GptOss": "openai_gptoss"}


class ReasoningParserError(Exception):
    """A parser cannot be had; the text says which ones can."""


def reasoning_parser(name: str) -> type[ReasoningParser]:
    """Raises ReasoningParserError for an unknown name."""
    name = OLDER_NAMES.get(name, name)
    if name not in BUILT_IN:
        raise ReasoningParserError(
            f"--reasoning-parser {name} is unknown. It must be one of {', '.join(BUILT_IN)}."
        )
    module = importlib.import_module(f"paddock.server.reasoning.parsers.{name}")
    parser: type[ReasoningParser] = module.Parser
    return parser
