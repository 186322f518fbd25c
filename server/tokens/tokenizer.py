"""A model folder's tokenizer, read from tokenizer.json with the `tokenizers` library alone."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from paddock.engine.structured_output.token_bytes import fallback_bytes, piece_bytes
from paddock.server.tokens.detokenizer import ByteLevelDetokenizer, Detokenizer, WindowDetokenizer
from paddock.server.tokens.inputs import EncodedInput, first_of_second, kept_lengths

SPECIAL_TOKEN_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
NORMALIZED_CHARACTERS_PER_CHARACTER = 4
"""Unicode composition may shorten a text before it is tokenized; by no more than this factor."""


class TokenizerError(Exception):
    """The folder has no tokenizer that can be used; the text says what to do."""


class Tokenizer:
    """Encodes prompts and decodes answers. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tokenizer = _load(folder)
        self._special = {
            token_id
            for token_id, token in self._tokenizer.get_added_tokens_decoder().items()
            if token.special
        }
        self.config = read_tokenizer_config(folder)
        self.size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self._byte_level = _is_byte_level(self._tokenizer)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def encode_all(self, texts: list[str], add_special_tokens: bool) -> list[list[int]]:
        """Each text on its own, one after the other: a request takes one core of a shared machine, not all."""
        return [self.encode(text, add_special_tokens) for text in texts]

    def encode_input(
        self,
        text: str,
        second: str | None = None,
        *,
        add_special_tokens: bool = True,
        longest: int | None = None,
    ) -> EncodedInput:
        """A text, or a pair, with what the tokenizer puts around it. `longest` cuts the texts at their ends, never
        the special tokens."""
        first = self._tokenizer.encode(text, add_special_tokens=False)
        pair = None if second is None else self._tokenizer.encode(second, add_special_tokens=False)
        if longest is not None:
            specials = (
                self._tokenizer.num_special_tokens_to_add(pair is not None) if add_special_tokens else 0
            )
            room = max(0, longest - specials)
            kept = kept_lengths(len(first), 0 if pair is None else len(pair), room)
            first.truncate(kept[0])
            if pair is not None:
                pair.truncate(kept[1])
        whole = self._tokenizer.post_process(first, pair, add_special_tokens)
        return EncodedInput(whole.ids, first_of_second(whole.type_ids))

    def decode(self, token_ids: list[int], skip_special_tokens: bool) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)
        return text

    def detokenizer(self, prompt_ids: list[int], skip_special_tokens: bool) -> Detokenizer:
        """A fresh incremental decoder for an answer to `prompt_ids`."""
        if self._byte_level:
            shown = self._shown_bytes if skip_special_tokens else self._token_bytes
            return ByteLevelDetokenizer(shown)
        return WindowDetokenizer(self, prompt_ids, skip_special_tokens)

    def token_bytes(self, token_id: int) -> bytes:
        """Raw bytes of one token, special ones included; empty for an id without text."""
        return self._token_bytes[token_id] if 0 <= token_id < self.size else b""

    def least_tokens(self, characters: int) -> int:
        """A lower bound for the tokens of a text, to refuse one that cannot fit without tokenizing it."""
        return characters // (self._longest_piece * NORMALIZED_CHARACTERS_PER_CHARACTER)

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """Names and texts of the special tokens, as chat templates expect them."""
        found = {name: _token_text(self.config.get(name)) for name in SPECIAL_TOKEN_NAMES}
        return {name: text for name, text in found.items() if text is not None}

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        pieces = [self._tokenizer.id_to_token(token_id) or "" for token_id in range(self.size)]
        if self._byte_level:
            return [piece_bytes(piece) for piece in pieces]
        return [fallback_bytes(piece) for piece in pieces]

    @cached_property
    def _shown_bytes(self) -> list[bytes]:
        return [b"" if token_id in self._special else raw for token_id, raw in enumerate(self._token_bytes)]

    @cached_property
    def _longest_piece(self) -> int:
        return max(1, *map(len, self._token_bytes))


def _load(folder: Path) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise TokenizerError(
            f"{folder} has no tokenizer.json. Point --tokenizer at a folder that has one, use --tokenizer-mode slow if "
            "the tokenizer is written in Python, --trust-remote-code if it is code in the model's repository, or convert "
            f"the model's own tokenizer once: python -c \"from transformers import AutoTokenizer as T; "
            f"T.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for every fault in the file
        raise TokenizerError(
            f"{path} cannot be read as a tokenizer: {error}. Download the file again."
        ) from error
    # Limits saved with the file are for training; the context length is checked by the server.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def read_tokenizer_config(folder: Path) -> dict[str, Any]:
    """Empty where there is no such file. Raises TokenizerError."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path} is not valid JSON: {error}. Download the file again.") from error
    if not isinstance(config, dict):
        raise TokenizerError(
            f"{path} must hold a JSON object, not {type(config).__name__}. Download the file again."
        )
    return config


def _is_byte_level(tokenizer: tokenizers.Tokenizer) -> bool:
    return isinstance(tokenizer.decoder, tokenizers.decoders.ByteLevel)


def _token_text(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None
