"""What is asked of a library that turns constraints into sets of allowed tokens."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.vocabulary import Vocabulary

MaskWords = npt.NDArray[np.int32]
"""`[ceil(vocab / 32)]`: token t is allowed when bit t % 32 of word t // 32 is set."""

MOST_SPACES = 20
"""Of JSON's free whitespace in a row: without a limit a model can go on with it for ever."""


def allow(words: MaskWords, token_ids: tuple[int, ...]) -> None:
    bits = words.view(np.uint32)
    for token_id in token_ids:
        bits[token_id >> 5] |= np.uint32(1 << (token_id & 31))


class Matcher(Protocol):
    """How far one output has come. Used by one thread at a time."""

    def fill(self, words: MaskWords) -> None:
        """Write the tokens that may come next into `words`, which holds zeros: EOS among them where it may end."""

    def accept(self, token_id: int) -> bool:
        """Go on with a token that was allowed, never EOS. False when it is none of the allowed ones."""


class Grammar(Protocol):
    """A compiled constraint, shared by all requests that have it."""

    def new_matcher(self) -> Matcher:
        """At the beginning of an output."""


class Backend(Protocol):
    """Made when it is first needed; `compile` may be called by several threads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Loads the library, and what it derives from the vocabulary once for all constraints."""

    def objection(self, constraint: Constraint) -> str | None:
        """What of the constraint the library cannot keep, with the keyword's name; None when it can keep it all.

        Libraries ignore some of what they do not know, so that texts would end that do not fit.
        """

    def compile(self, constraint: Constraint) -> Grammar:
        """Raises `ConstraintError`, or whatever the library raises, for a constraint that is none."""
