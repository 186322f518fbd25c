"""Texts that a model without any sense would write under a constraint."""

import random
from pathlib import Path

import numpy as np

from paddock.engine.structured_output.backend import Grammar
from paddock.engine.structured_output.vocabulary import Vocabulary

TINY_MODEL = Path(__file__).parents[1] / "models" / "tiny" / "model"
VOCABULARY = Vocabulary.read(TINY_MODEL, 2048, (2,))
PUNCTUATION = (b'"', b"}", b"]", b",", b":")


def allowed_ids(words: "np.ndarray") -> list[int]:
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    return np.flatnonzero(bits[: VOCABULARY.size]).tolist()


def random_text(grammar: Grammar, rng: random.Random, limit: int = 150) -> bytes | None:
    """One that came to its end, or None. Punctuation is likelier than its share, so that more come to an end."""
    matcher, text = grammar.new_matcher(), b""
    for _ in range(limit):
        words = np.zeros(VOCABULARY.num_words, np.int32)
        matcher.fill(words)
        ids = allowed_ids(words)
        assert ids, f"nothing may follow {text!r}"
        others = [token_id for token_id in ids if token_id != VOCABULARY.eos]
        if VOCABULARY.eos in ids and (not others or rng.random() < 0.3):
            return text
        ending = [token_id for token_id in others if VOCABULARY.tokens[token_id][:1] in PUNCTUATION]
        chosen = rng.choice(ending if ending and rng.random() < 0.5 else others)
        assert matcher.accept(chosen)
        text += VOCABULARY.tokens[chosen]
    return None
