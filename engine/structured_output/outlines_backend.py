"""outlines-core: every constraint becomes one regular expression, and that a table from state to tokens."""

import json

import numpy as np
import outlines_core
from outlines_core.json_schema import build_regex_from_schema

from paddock.engine.structured_output.backend import MaskWords
from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.regex_text import choice_regex
from paddock.engine.structured_output.schema_keywords import OUTLINES, unkept_keyword
from paddock.engine.structured_output.vocabulary import Vocabulary

NO_SPACE = ""


class OutlinesMatcher:
    def __init__(self, index: outlines_core.Index, eos: int) -> None:
        self._index, self._eos = index, eos
        self._state = index.get_initial_state()

    def fill(self, words: MaskWords) -> None:
        allowed = self._index.get_allowed_tokens(self._state) or []
        if self._index.is_final_state(self._state):
            allowed.append(self._eos)
        ids = np.array(allowed, np.int64)
        np.bitwise_or.at(words.view(np.uint32), ids >> 5, np.uint32(1) << (ids & 31).astype(np.uint32))

    def accept(self, token_id: int) -> bool:
        state = self._index.get_next_state(self._state, token_id)
        if state is None:
            return False
        self._state = state
        return True


class OutlinesGrammar:
    def __init__(self, index: outlines_core.Index, eos: int) -> None:
        self._index, self._eos = index, eos

    def new_matcher(self) -> OutlinesMatcher:
        return OutlinesMatcher(self._index, self._eos)


class OutlinesBackend:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._eos = vocabulary.eos
        ids: dict[bytes, list[int]] = {}
        for token_id, token in enumerate(vocabulary.tokens):
            if token:
                ids.setdefault(token, []).append(token_id)
        self._vocabulary = outlines_core.Vocabulary(vocabulary.eos, ids)

    def objection(self, constraint: Constraint) -> str | None:
        match constraint.kind:
            case "json_object" | "grammar" | "structural_tag":
                return f"{constraint.kind} cannot be kept"
            case "json":
                return unkept_keyword(json.loads(constraint.text), OUTLINES)
            case _:
                return None

    def compile(self, constraint: Constraint) -> OutlinesGrammar:
        return OutlinesGrammar(outlines_core.Index(_regex(constraint), self._vocabulary), self._eos)


def _regex(constraint: Constraint) -> str:
    if constraint.kind == "regex":
        return constraint.text
    if constraint.kind == "choice":
        return choice_regex(constraint.text)
    spaces = NO_SPACE if constraint.disable_any_whitespace else constraint.whitespace_pattern
    return str(build_regex_from_schema(constraint.text, spaces))
