"""The tokens of a model as bytes, as every backend needs them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers

from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.token_bytes import fallback_bytes, piece_bytes


@dataclass(frozen=True)
class Vocabulary:
    """Special tokens and ids without a token have no bytes: no constraint ever allows them, but for EOS at its end."""

    tokens: tuple[bytes, ...]
    """As many as the model has logits."""

    eos_token_ids: tuple[int, ...]

    @property
    def size(self) -> int:
        return len(self.tokens)

    @property
    def num_words(self) -> int:
        """Of a mask."""
        return -(-self.size // 32)

    @property
    def eos(self) -> int:
        """The one that stands for all of them in a backend."""
        return self.eos_token_ids[0]

    @cached_property
    def all_but_eos(self) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
        """Mask words, read-only."""
        bits = np.zeros(self.num_words * 32, np.uint8)
        bits[: self.size] = 1
        bits[list(self.eos_token_ids)] = 0
        words = np.packbits(bits, bitorder="little").view(np.int32)
        words.flags.writeable = False
        return words

    @staticmethod
    def read(folder: Path, size: int, eos_token_ids: tuple[int, ...]) -> "Vocabulary":
        """From a folder's tokenizer.json, for a model of `size` logits. Raises `ConstraintError`."""
        path = folder / "tokenizer.json"
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception for every fault in the file
            raise ConstraintError(f"the tokenizer cannot be read for structured output: {error}") from error
        of_piece = piece_bytes if _is_byte_level(tokenizer) else fallback_bytes
        added = tokenizer.get_added_tokens_decoder()
        tokens = [b""] * size
        for piece, token_id in tokenizer.get_vocab(with_added_tokens=True).items():
            if token_id < size and token_id not in added:
                tokens[token_id] = of_piece(piece)
        for token_id, token in added.items():
            if token_id < size and not token.special:
                tokens[token_id] = token.content.encode()
        for token_id in eos_token_ids:
            tokens[token_id] = b""
        return Vocabulary(tuple(tokens), eos_token_ids)


def _is_byte_level(tokenizer: tokenizers.Tokenizer) -> bool:
    # A decoder's state says what a sequence of decoders consists of; its class does not.
    return b"ByteLevel" in tokenizer.decoder.__getstate__() if tokenizer.decoder is not None else False
