"""xgrammar: compiled pushdown automata with precomputed masks (Dong et al. 2024)."""

import json
from typing import Any

import xgrammar

from paddock.engine.structured_output.backend import MOST_SPACES, MaskWords
from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.regex_text import choice_ebnf
from paddock.engine.structured_output.schema_keywords import XGRAMMAR, unkept_keyword
from paddock.engine.structured_output.vocabulary import Vocabulary

COMPILING_THREADS = 1
"""Beside the pool's own: what compiles must leave the cores to the steps."""

CACHE_BYTES = 256 << 20
ANY_OBJECT = {"type": "object"}


class XgrammarMatcher:
    def __init__(self, compiled: xgrammar.CompiledGrammar) -> None:
        self._matcher = xgrammar.GrammarMatcher(compiled)

    def fill(self, words: MaskWords) -> None:
        self._matcher.fill_next_token_bitmask(words[None], 0)

    def accept(self, token_id: int) -> bool:
        return bool(self._matcher.accept_token(token_id))


class XgrammarGrammar:
    def __init__(self, compiled: xgrammar.CompiledGrammar) -> None:
        self._compiled = compiled

    def new_matcher(self) -> XgrammarMatcher:
        return XgrammarMatcher(self._compiled)


class XgrammarBackend:
    def __init__(self, vocabulary: Vocabulary) -> None:
        info = xgrammar.TokenizerInfo(
            list(vocabulary.tokens),
            xgrammar.VocabType.RAW,
            vocab_size=vocabulary.size,
            stop_token_ids=[vocabulary.eos],
        )
        self._compiler = xgrammar.GrammarCompiler(
            info, max_threads=COMPILING_THREADS, cache_limit_bytes=CACHE_BYTES
        )

    def objection(self, constraint: Constraint) -> str | None:
        if constraint.whitespace_pattern is not None:
            return "whitespace_pattern cannot be kept"
        if constraint.kind == "json":
            return unkept_keyword(json.loads(constraint.text), XGRAMMAR)
        if constraint.kind == "grammar" and "::=" not in constraint.text:
            return "a grammar is to be written as EBNF rules, `root ::= …`"
        return None

    def compile(self, constraint: Constraint) -> XgrammarGrammar:
        return XgrammarGrammar(self._compiled(constraint))

    def _compiled(self, constraint: Constraint) -> xgrammar.CompiledGrammar:
        compiler, text = self._compiler, constraint.text
        match constraint.kind:
            case "json":
                return self._compiled_schema(json.loads(text), constraint)
            case "json_object":
                return self._compiled_schema(ANY_OBJECT, constraint)
            case "regex":
                return compiler.compile_regex(text)
            case "choice":
                return compiler.compile_grammar(choice_ebnf(text))
            case "grammar":
                return compiler.compile_grammar(text)
            case "structural_tag":
                return compiler.compile_structural_tag(text)
            case "text":
                raise ConstraintError("text without a form needs no grammar")

    def _compiled_schema(self, schema: Any, constraint: Constraint) -> xgrammar.CompiledGrammar:
        if schema is False:
            raise ConstraintError("the schema false allows nothing")
        free = not constraint.disable_any_whitespace
        return self._compiler.compile_json_schema(
            json.dumps(schema),
            any_whitespace=free,
            separators=None if free else (",", ":"),
            strict_mode=False,
            max_whitespace_cnt=MOST_SPACES if free else None,
        )
