"""llguidance: an Earley parser over derivatives of regular expressions, lazily, with next to no compilation."""

import json
from typing import TYPE_CHECKING

import llguidance
from llguidance.gbnf_to_lark import any_to_lark
from llguidance.numpy import fill_next_token_bitmask

from paddock.engine.structured_output.backend import MOST_SPACES, MaskWords
from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.regex_text import choice_regex
from paddock.engine.structured_output.schema_keywords import GUIDANCE, unkept_keyword
from paddock.engine.structured_output.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

SILENT = 0
SOME_SPACES = rf"[\x20\x0A\x0D\x09]{{0,{MOST_SPACES}}}"


class GuidanceMatcher:
    def __init__(self, begun: llguidance.LLMatcher) -> None:
        self._matcher = begun

    def fill(self, words: MaskWords) -> None:
        """Raises `ConstraintError` when the parser has met a limit of its own."""
        fill_next_token_bitmask(self._matcher, words[None], 0)
        if self._matcher.is_error():
            raise ConstraintError(self._matcher.get_error())

    def accept(self, token_id: int) -> bool:
        return bool(self._matcher.consume_token(token_id))


class GuidanceGrammar:
    def __init__(self, initial: llguidance.LLMatcher) -> None:
        self._initial = initial

    def new_matcher(self) -> GuidanceMatcher:
        return GuidanceMatcher(self._initial.deep_copy())


class _Tokenizer:
    """A vocabulary as llguidance reads one. What it asks to be tokenized is only looked at for its first tokens, so the
    longest match will do."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.eos_token_id = vocabulary.eos
        self.bos_token_id = None
        self.tokens = list(vocabulary.tokens)
        self.special_token_ids = [index for index, token in enumerate(self.tokens) if not token]
        self._ids = {token: token_id for token_id, token in enumerate(self.tokens) if token}
        self._longest = max(map(len, self._ids))

    def __call__(self, text: bytes) -> list[int]:
        # The library finds out by trying that bytes are taken.
        token_ids: list[int] = []
        at = 0
        while at < len(text):
            ends = range(min(len(text), at + self._longest), at, -1)
            end = next((end for end in ends if text[at:end] in self._ids), None)
            if end is not None:
                token_ids.append(self._ids[text[at:end]])
            at = at + 1 if end is None else end
        return token_ids


class GuidanceBackend:
    def __init__(self, vocabulary: Vocabulary) -> None:
        wrapper = llguidance.TokenizerWrapper(_Tokenizer(vocabulary))
        self._tokenizer = llguidance.LLTokenizer(wrapper, n_vocab=vocabulary.size)

    def objection(self, constraint: Constraint) -> str | None:
        if constraint.kind == "structural_tag":
            return "structural_tag cannot be kept"
        if constraint.kind == "json":
            return unkept_keyword(json.loads(constraint.text), GUIDANCE)
        return None

    def compile(self, constraint: Constraint) -> GuidanceGrammar:
        matcher = llguidance.LLMatcher(self._tokenizer, self._written(constraint), log_level=SILENT)
        if matcher.is_error():
            raise ConstraintError(matcher.get_error())
        return GuidanceGrammar(matcher)

    def _written(self, constraint: Constraint) -> str:
        make = llguidance.LLMatcher
        match constraint.kind:
            case "json":
                return self._json(constraint.text, constraint)
            case "json_object":
                return self._json('{"type": "object"}', constraint)
            case "regex":
                return make.grammar_from_regex(constraint.text)
            case "choice":
                return make.grammar_from_regex(choice_regex(constraint.text))
            case _:
                return make.grammar_from_lark(any_to_lark(constraint.text))

    def _json(self, schema: str, constraint: Constraint) -> str:
        # The library reads options out of a schema; a user's schema is to have none.
        if constraint.disable_any_whitespace:
            spaces: JsonCompileOptions = {"whitespace_flexible": False}
        else:
            spaces = {"whitespace_pattern": constraint.whitespace_pattern or SOME_SPACES}
        return llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=spaces)
