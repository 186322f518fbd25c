"""Text without a form: what an answer is constrained to when its thinking alone is bounded."""

from paddock.engine.structured_output.backend import MaskWords, allow
from paddock.engine.structured_output.vocabulary import Vocabulary


class FreeText:
    """Grammar and matcher in one: it has nothing to remember."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def new_matcher(self) -> "FreeText":
        return self

    def fill(self, words: MaskWords) -> None:
        """See `Matcher`."""
        words[:] = self._vocabulary.all_but_eos
        allow(words, self._vocabulary.eos_token_ids)

    def accept(self, token_id: int) -> bool:
        return True
