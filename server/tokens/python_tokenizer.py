"""Tokenizers written in Python: some families' in transformers, and those that a model's repository brings.

Importing this module imports transformers and torch.
"""

import json
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

from paddock.engine.models.transformers_backend.custom_class import custom_class, first_line
from paddock.engine.structured_output.token_bytes import fallback_bytes, piece_bytes
from paddock.server.tokens.detokenizer import Detokenizer, HeldBackDetokenizer
from paddock.server.tokens.inputs import EncodedInput, first_of_second
from paddock.server.tokens.tokenizer import (
    Tokenizer,
    TokenizerError,
    read_tokenizer_config,
)


class PythonTokenizer(Tokenizer):
    """Behind a lock: such code keeps state between calls."""

    def __init__(self, folder: Path, inner: Any) -> None:
        """`inner` is a PreTrainedTokenizerBase."""
        self.folder = folder
        self.config = read_tokenizer_config(folder)
        self._inner = inner
        self._lock = threading.RLock()
        # Some vocabularies are of bytes, and some have gaps.
        self._pieces: dict[int, str | bytes] = {index: piece for piece, index in inner.get_vocab().items()}
        self.size = 1 + max(self._pieces, default=-1)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        with self._lock:
            return [int(each) for each in self._inner.encode(text, add_special_tokens=add_special_tokens)]

    def encode_input(
        self,
        text: str,
        second: str | None = None,
        *,
        add_special_tokens: bool = True,
        longest: int | None = None,
    ) -> EncodedInput:
        with self._lock:
            found = self._inner(
                text,
                second,
                add_special_tokens=add_special_tokens,
                truncation=longest is not None,
                max_length=longest,
                return_token_type_ids=True,
            )
        return EncodedInput(
            [int(each) for each in found["input_ids"]], first_of_second(found["token_type_ids"])
        )

    def decode(self, token_ids: list[int], skip_special_tokens: bool) -> str:
        """Ids without an entry have no text. Nothing is tidied up, since that would change text already sent."""
        known = [token_id for token_id in token_ids if token_id in self._pieces]
        with self._lock:
            text: str = self._inner.decode(
                known, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
            )
            return text

    def detokenizer(self, prompt_ids: list[int], skip_special_tokens: bool) -> Detokenizer:
        return HeldBackDetokenizer(self, prompt_ids, skip_special_tokens)

    def token_bytes(self, token_id: int) -> bytes:
        piece = self._pieces.get(token_id, b"")
        if isinstance(piece, bytes):
            return piece
        # Vocabularies in GPT-2's byte alphabet come with the way back.
        return piece_bytes(piece) if hasattr(self._inner, "byte_decoder") else fallback_bytes(piece)

    def least_tokens(self, characters: int) -> int:
        """Unknown: a run of characters outside of the vocabulary may become a single token."""
        return 0

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """With those that only the class names."""
        found = self._inner.special_tokens_map
        return {name: str(text) for name, text in found.items() if isinstance(text, str)}


def load_custom(folder: Path, code: Path, name: str) -> PythonTokenizer:
    """The class `name` of the folder `code`, reading `folder`. Raises TokenizerError or CheckpointError."""
    return _read(custom_class(code, name), folder)


def load_slow(folder: Path) -> PythonTokenizer:
    """The Python class of the folder's family. Raises TokenizerError, also for a family that has none."""
    name = _class_name(folder)
    found = tokenizer_class_from_name(name.removesuffix("Fast")) if name else None
    if not (isinstance(found, type) and issubclass(found, PreTrainedTokenizer) and _is_of_a_family(found)):
        which = f"{name} has no Python implementation" if name else "its files name no tokenizer class"
        raise TokenizerError(
            f"--tokenizer-mode slow: {folder}: {which}; most families have the fast one only since transformers 5. Use "
            "--tokenizer-mode auto."
        )
    return _read(found, folder)


def _is_of_a_family(found: type) -> bool:
    """The base classes have Python code too, and no vocabulary."""
    return found.__module__.startswith("transformers.models.")


def _class_name(folder: Path) -> str:
    """As tokenizer_config.json says it, else as the model's type implies."""
    stated = read_tokenizer_config(folder).get("tokenizer_class")
    if isinstance(stated, str):
        return stated
    try:
        kind = json.loads((folder / "config.json").read_text())["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return TOKENIZER_MAPPING_NAMES.get(kind) or "" if isinstance(kind, str) else ""


def _read(kind: Any, folder: Path) -> PythonTokenizer:
    try:
        inner = kind.from_pretrained(str(folder), local_files_only=True)
        if not isinstance(inner, PreTrainedTokenizerBase):
            raise TypeError(f"{kind.__name__} is no tokenizer of transformers")
        return PythonTokenizer(folder, inner)
    except Exception as error:
        raise TokenizerError(
            f"{folder}: the tokenizer {getattr(kind, '__name__', kind)} cannot be read: {first_line(error)}"
        ) from error
