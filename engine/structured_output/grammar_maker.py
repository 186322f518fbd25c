"""Which library compiles a constraint, by what the constraint needs."""

import importlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from paddock.engine.structured_output.backend import Backend, Grammar
from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.free_text import FreeText
from paddock.engine.structured_output.schema_reading import read_schema
from paddock.engine.structured_output.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

CLASSES = {
    "xgrammar": "paddock.engine.structured_output.xgrammar_backend.XgrammarBackend",
    "guidance": "paddock.engine.structured_output.guidance_backend.GuidanceBackend",
    "outlines": "paddock.engine.structured_output.outlines_backend.OutlinesBackend",
    "lm-format-enforcer": "paddock.engine.structured_output.enforcer_backend.EnforcerBackend",
}
"""Imported when a request first needs one: two of the libraries load torch."""

AUTO = ("xgrammar", "guidance")
MOST_REASON_CHARACTERS = 400
_REPETITION = re.compile(r"\{(\d+)(?:,(\d*))?\}")
MOST_REGEX_REPETITIONS = 10_000
_LOCATION = re.compile(r"^\[[\d:]+\] \S+:\d+: ")
"""Of a line in a library's source, before its message."""


class GrammarMaker:
    """Safe to use from several threads; each library is loaded once."""

    def __init__(self, backend: str, read_vocabulary: Callable[[], Vocabulary]) -> None:
        self._first = AUTO if backend == "auto" else (backend,)
        self._read_vocabulary = read_vocabulary
        self._lock = threading.Lock()
        self._vocabulary: Vocabulary | None = None
        self._backends: dict[str, Backend] = {}
        self.is_loading = False
        """A library is being imported, which happens once and is no request's fault."""

    @property
    def vocabulary(self) -> Vocabulary:
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = self._read_vocabulary()
            return self._vocabulary

    def make(self, constraint: Constraint) -> Grammar:
        """Raises `ConstraintError` with the reason of each library that was asked."""
        if constraint.kind == "text":
            return FreeText(self.vocabulary)
        constraint = _prepared(constraint)
        reasons: dict[str, str] = {}
        for name in self._candidates(constraint):
            reason, grammar = self._try(name, constraint)
            if grammar is not None:
                return grammar
            reasons[name] = reason
        if len(set(reasons.values())) == 1:
            raise ConstraintError(next(iter(reasons.values())))
        raise ConstraintError("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))

    def _candidates(self, constraint: Constraint) -> Iterator[str]:
        yield from self._first
        if not constraint.disable_fallback:
            yield from (name for name in AUTO if name not in self._first)

    def _try(self, name: str, constraint: Constraint) -> tuple[str, Grammar | None]:
        try:
            backend = self._backend(name)
            reason = backend.objection(constraint)
            if reason is not None:
                return reason, None
            grammar = backend.compile(constraint)
            _check_beginning(grammar, self.vocabulary)
        except ImportError as error:
            return f"its library is not installed ({error})", None
        except Exception as error:  # noqa: BLE001
            # Each library raises what it likes for a constraint that is none.
            text = " ".join(_LOCATION.sub("", str(error).strip()).split())
            return text[:MOST_REASON_CHARACTERS] or repr(error), None
        logger.debug("%s compiled a constraint of kind %s", name, constraint.kind)
        return "", grammar

    def _backend(self, name: str) -> Backend:
        vocabulary = self.vocabulary
        with self._lock:
            if name not in self._backends:
                self.is_loading = True
                try:
                    module, _, class_name = CLASSES[name].rpartition(".")
                    self._backends[name] = getattr(importlib.import_module(module), class_name)(vocabulary)
                finally:
                    self.is_loading = False
            return self._backends[name]


def _prepared(constraint: Constraint) -> Constraint:
    if constraint.kind == "json":
        try:
            schema = read_schema(constraint.text, constraint.disable_additional_properties)
        except RecursionError:
            raise ConstraintError("the schema is nested too deeply") from None
        return msgspec.structs.replace(constraint, text=json.dumps(schema))
    if constraint.kind in ("regex", "grammar"):
        for low, high in _REPETITION.findall(constraint.text):
            if max(int(low), int(high or 0)) > MOST_REGEX_REPETITIONS:
                raise ConstraintError(f"a repetition of more than {MOST_REGEX_REPETITIONS} times")
    return constraint


def _check_beginning(grammar: Grammar, vocabulary: Vocabulary) -> None:
    """A library may learn of a fault only when it is asked for the first tokens."""
    words = np.zeros(vocabulary.num_words, np.int32)
    grammar.new_matcher().fill(words)
    if not words.any():
        raise ConstraintError("no text fits it")
