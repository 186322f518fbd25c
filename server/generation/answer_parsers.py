"""The parsers a server was started with, and which of them an answer needs."""

from collections.abc import Callable
from dataclasses import dataclass

from paddock.engine.config import FrontendConfig
from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.protocol.tools import Tool
from paddock.server.reasoning.parser import Block, ReasoningParser
from paddock.server.reasoning.registry import reasoning_parser
from paddock.server.tokens.absent import NoTokenizer
from paddock.server.tokens.tokenizer import Tokenizer
from paddock.server.tools.forced import ParserMaker
from paddock.server.tools.offered import OfferedTools
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.plugin import load_plugin
from paddock.server.tools.registry import ToolParserError, tool_parser


@dataclass(frozen=True, slots=True)
class AnswerReading:
    """How the text of one request's answers is read."""

    new_parser: Callable[[], AnswerParser]
    """One per choice."""

    needs_special_tokens: bool
    """Marks of the format are special tokens of this tokenizer, so the text must show those."""


@dataclass(frozen=True, slots=True)
class AnswerParsers:
    tools: type[ToolParser] | None = None
    reasoning: type[ReasoningParser] | None = None
    special_marks: frozenset[str] = frozenset()
    """Marks of the two that the tokenizer leaves out of texts."""

    @staticmethod
    def load(frontend: FrontendConfig, reasoning: str, tokenizer: Tokenizer) -> "AnswerParsers":
        """Raises ToolParserError or ReasoningParserError for a name that is unknown and a plugin that fails."""
        if frontend.tool_parser_plugin:
            if frontend.tool_call_parser is None:
                raise ToolParserError(
                    "--tool-parser-plugin needs --tool-call-parser with the name of its parser."
                )
            load_plugin(frontend.tool_parser_plugin)
        if (frontend.tool_call_parser or reasoning) and isinstance(tokenizer, NoTokenizer):
            raise ToolParserError(
                "--tool-call-parser and --reasoning-parser read text, and with --skip-tokenizer-init there is none; "
                "leave them out."
            )
        tools = None if frontend.tool_call_parser is None else tool_parser(frontend.tool_call_parser)
        thinking = reasoning_parser(reasoning) if reasoning else None
        marks = {mark for parser in (tools, thinking) if parser is not None for mark in parser.markers}
        return AnswerParsers(
            tools, thinking, frozenset(mark for mark in marks if _is_special(mark, tokenizer))
        )

    def reading(
        self,
        tools: list[Tool],
        *,
        parallel: bool,
        prompt: str,
        continued: str | None,
        forced: ParserMaker | None = None,
    ) -> AnswerReading | None:
        """None when the text is the answer as it is. `tools` are those that the model may call.

        With `forced` the calls are in that parser's form, whatever the server's own is. `prompt` is the text before the answer; `continued` is its last message when the answer goes on with that.
        """
        finder = self.tools if tools and forced is None else None
        thinker = None if finder is not None and finder.reads_reasoning else self.reasoning
        new_finder: ParserMaker | None = forced or finder
        if new_finder is None and thinker is None:
            return None
        offered = OfferedTools({tool.function.name: tool.function.parameters or {} for tool in tools})
        block = _block(thinker, prompt, continued)

        def new_parser() -> AnswerParser:
            return AnswerParser(
                None if thinker is None else thinker(block),
                None if new_finder is None else new_finder(offered),
                one_call=not parallel,
            )

        marks = {mark for parser in (finder, thinker) if parser is not None for mark in parser.markers}
        return AnswerReading(new_parser, not self.special_marks.isdisjoint(marks))


def _block(thinker: type[ReasoningParser] | None, prompt: str, continued: str | None) -> Block:
    if thinker is None:
        return Block.UNSAID
    return thinker.block_of(prompt) if continued is None else thinker.block_within(continued)


def _is_special(mark: str, tokenizer: Tokenizer) -> bool:
    token_ids = tokenizer.encode(mark, False)
    return len(token_ids) == 1 and tokenizer.decode(token_ids, True) != mark
