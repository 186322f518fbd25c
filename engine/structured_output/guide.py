"""The constraint of one request, as far as its output has come."""

import logging

import numpy as np

from paddock.engine.structured_output.backend import Grammar, MaskWords, allow
from paddock.engine.structured_output.constraint import Thinking
from paddock.engine.structured_output.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


class Guide:
    """Follows what the request is told: a token that is lost to a preemption never comes here."""

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary, thinking: Thinking | None) -> None:
        self._matcher = grammar.new_matcher()
        self._vocabulary = vocabulary
        self._thinking = thinking
        self._thinks = thinking is not None and thinking.begun
        self._may_think = thinking is not None and not thinking.begun
        self._has_ended = False
        self._num_thought = 0

    def fill(self, words: MaskWords) -> None:
        """Write the tokens that may come next into `words`, which holds zeros. After a fault none may."""
        if self._thinks:
            self._fill_thinking(words)
            return
        if self._has_ended:
            allow(words, self._vocabulary.eos_token_ids)
            return
        try:
            self._matcher.fill(words)
        except Exception:
            logger.exception("a constraint failed in the middle of an output; its request ends")
            words[:] = 0
            return
        if _allows(words, self._vocabulary.eos):
            allow(words, self._vocabulary.eos_token_ids)
        if self._may_think and self._thinking is not None:
            allow(words, self._thinking.start_ids)

    def _fill_thinking(self, words: MaskWords) -> None:
        thinking = self._thinking
        assert thinking is not None, "what thinks may do so"
        if thinking.budget is not None and self._num_thought >= thinking.budget:
            allow(words, thinking.end_ids[:1])
        else:
            words[:] = self._vocabulary.all_but_eos

    def accept(self, token_id: int) -> None:
        if self._thinks:
            self._num_thought += 1
            self._thinks = self._thinking is not None and token_id not in self._thinking.end_ids
            return
        if self._may_think and self._thinking is not None:
            self._may_think = False
            if token_id in self._thinking.start_ids:
                self._thinks = True
                return
        if token_id in self._vocabulary.eos_token_ids:
            self._has_ended = True
        elif not self._matcher.accept(token_id):
            logger.error("token %d was chosen against a constraint", token_id)


def _allows(words: MaskWords, token_id: int) -> bool:
    return bool(words.view(np.uint32)[token_id >> 5] >> np.uint32(token_id & 31) & np.uint32(1))
