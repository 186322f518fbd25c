"""Which parsers a server can be started with."""

from pathlib import Path

import pytest

from paddock.engine.config import FrontendConfig
from paddock.server.generation.answer_parsers import AnswerParsers
from paddock.server.reasoning.registry import ReasoningParserError
from paddock.server.tokens.absent import NoTokenizer
from paddock.server.tokens.tokenizer import Tokenizer
from paddock.server.tools.registry import ToolParserError

PAGE = (Path(__file__).parents[4] / "docs/api.md").read_text()
PLUGIN = PAGE.partition("```python\n")[2].partition("```")[0]


def load(tokenizer: Tokenizer, reasoning: str = "", **frontend: str) -> AnswerParsers:
    return AnswerParsers.load(FrontendConfig.model_validate(frontend), reasoning, tokenizer)


def test_an_unknown_tool_parser_is_refused_with_the_names(tokenizer: Tokenizer) -> None:
    with pytest.raises(ToolParserError, match=r"--tool-call-parser herpes is unknown.*hermes.*qwen3_coder"):
        load(tokenizer, tool_call_parser="herpes")


def test_an_unknown_reasoning_parser_is_refused_with_the_names(tokenizer: Tokenizer) -> None:
    with pytest.raises(ReasoningParserError, match=r"--reasoning-parser r1 is unknown.*deepseek_r1.*step3"):
        load(tokenizer, "r1")


def test_an_older_name_still_names_its_parser(tokenizer: Tokenizer) -> None:
    assert load(tokenizer, "GptOss").reasoning is load(tokenizer, "openai_gptoss").reasoning is not None


def test_parsers_need_text(tmp_path: Path) -> None:
    for reasoning, frontend in (("qwen3", {}), ("", {"tool_call_parser": "hermes"})):
        with pytest.raises(ToolParserError, match="--skip-tokenizer-init"):
            load(NoTokenizer(tmp_path), reasoning, **frontend)


def test_the_plugin_of_the_page_registers_its_parser(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    parsers = load(tokenizer, tool_call_parser="mine", tool_parser_plugin=str(tmp_path / "mine.py"))
    assert parsers.tools is not None
    assert parsers.tools.__name__ == "MyParser"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "from paddock.server.tools import register_tool_parser\nregister_tool_parser('x')(int)",
            "must be a subclass of ToolParser",
        ),
        ("x = 1", "--tool-call-parser absent is unknown"),
    ],
)
def test_a_plugin_at_fault_is_told_in_words(
    tokenizer: Tokenizer, tmp_path: Path, source: str, said: str
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(source)
    with pytest.raises(ToolParserError, match=said):
        load(tokenizer, tool_call_parser="absent", tool_parser_plugin=str(plugin))


def test_a_plugin_file_must_be_there_and_be_used(tokenizer: Tokenizer, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.py")
    with pytest.raises(ToolParserError, match="there is no such file"):
        load(tokenizer, tool_call_parser="hermes", tool_parser_plugin=absent)
    with pytest.raises(ToolParserError, match="needs --tool-call-parser"):
        load(tokenizer, tool_parser_plugin=absent)
