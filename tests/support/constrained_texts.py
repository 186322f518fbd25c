"""Texts that a model without any sense would write under a constraint."""

import json
import math
import random
from pathlib import Path

import jsonschema
import numpy as np

from paddock.engine.structured_output.backend import Grammar
from paddock.engine.structured_output.vocabulary import Vocabulary

TINY_MODEL = Path(__file__).parents[1] / "models" / "tiny" / "model"
VOCABULARY = Vocabulary.read(TINY_MODEL, 2048, (2,))
BYTE_TOKENS = {token: token_id for token_id, token in enumerate(VOCABULARY.tokens) if len(token) == 1}
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


def takes(grammar: Grammar, text: bytes) -> bool:
    """Whether the masks let a model write `text` byte by byte, and then end."""
    matcher = grammar.new_matcher()
    for byte in (*text, None):
        words = np.zeros(VOCABULARY.num_words, np.int32)
        matcher.fill(words)
        token_id = VOCABULARY.eos if byte is None else BYTE_TOKENS[bytes([byte])]
        if token_id not in allowed_ids(words):
            return False
        if byte is not None:
            assert matcher.accept(token_id)
    return True


def num_valid(grammar: Grammar, schema: object, number: int, limit: int = 150) -> int:
    """How many of `number` random texts come to their end; each of those is checked against the schema."""
    rng = random.Random(1)
    texts = [text for _ in range(number) if (text := random_text(grammar, rng, limit)) is not None]
    for text in texts:
        value = json.loads(
            text.decode(), parse_float=lambda digits: float(digits) if math.isfinite(float(digits)) else 0.0
        )
        jsonschema.Draft202012Validator(schema).validate(value)  # type: ignore[arg-type]
    return len(texts)
