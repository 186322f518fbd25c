"""Turn a growing list of token ids into text without ever showing half a character."""

import codecs
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from paddock.server.tokens.tokenizer import Tokenizer

REPLACEMENT = "�"
PROMPT_CONTEXT = 5
"""Prompt tokens shown to the decoder of non-byte-level vocabularies, so that a leading space survives."""
LONGEST_WINDOW = 48
"""Tokens that `HeldBackDetokenizer` decodes again for each further one, once it can let go of older ones."""


class Detokenizer(Protocol):
    """One per sequence. The texts of all `push` calls and of `flush`, joined, are the text of all tokens."""

    def push(self, token_id: int) -> str:
        """Text that became whole with this token; often all of it, sometimes nothing."""
        ...

    def flush(self) -> str:
        """What was still held back; U+FFFD where the bytes never became a character."""
        ...


class ByteLevelDetokenizer:
    """For byte-level BPE: every token is a run of bytes, so text is their UTF-8 and needs no look-back."""

    def __init__(self, token_bytes: list[bytes]) -> None:
        self._token_bytes = token_bytes
        # "replace" follows the Unicode advice on maximal subparts, as the tokenizer's own batch decode does.
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def push(self, token_id: int) -> str:
        try:
            return self._decode(self._token_bytes[token_id])
        except IndexError:  # an id of the padded part of the vocabulary has no text
            return ""

    def flush(self) -> str:
        return self._decode(b"", True)


class WindowDetokenizer:
    """For any other vocabulary: decode a short window again and take what is new at its end.

    The window starts one emission back, because decoders join a token to its neighbours (spaces, byte fallback).
    """

    def __init__(self, tokenizer: "Tokenizer", prompt_ids: list[int], skip_special_tokens: bool) -> None:
        self._decode = tokenizer.decode
        self._skip = skip_special_tokens
        self._ids = prompt_ids[-PROMPT_CONTEXT:]
        self._emitted = self._decode(self._ids, self._skip)
        self._read = len(self._ids)

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        text = self._decode(self._ids, self._skip)
        if text.endswith(REPLACEMENT) or len(text) <= len(self._emitted):
            return ""
        new = self._take(text)
        self._ids = self._ids[self._read :]
        self._emitted = self._decode(self._ids, self._skip)
        self._read = len(self._ids)
        return new

    def flush(self) -> str:
        return self._take(self._decode(self._ids, self._skip))

    def _take(self, text: str) -> str:
        # A byte-fallback run that turns out invalid changes text already sent; that part cannot be taken back.
        return text[len(self._emitted) :] if text.startswith(self._emitted) else ""


class HeldBackDetokenizer:
    """For decoders whose next token may rewrite the last one's text: what a token shows waits for the next to agree.

    Old tokens leave the window only where the rest alone still reads the same.
    """

    def __init__(self, tokenizer: "Tokenizer", prompt_ids: list[int], skip_special_tokens: bool) -> None:
        self._decode = tokenizer.decode
        self._skip = skip_special_tokens
        self._ids = prompt_ids[-PROMPT_CONTEXT:]
        self._text = self._shown = self._decode(self._ids, self._skip)
        self._answering = False

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        text = self._decode(self._ids, self._skip)
        if text == self._text:
            # A token without text agrees to nothing.
            return ""
        agreed, self._text = _common_start(self._text, text), text
        if not self._answering:
            # The first token may rewrite the prompt's end, which is not the answer's to show.
            self._answering, self._shown = True, agreed
        if self._text.endswith(REPLACEMENT):
            agreed = agreed.rstrip(REPLACEMENT)
        new = agreed[len(self._shown) :] if agreed.startswith(self._shown) else ""
        self._shown += new
        if len(self._ids) >= LONGEST_WINDOW:
            self._forget()
        return new

    def flush(self) -> str:
        return self._text[len(self._shown) :] if self._text.startswith(self._shown) else ""

    def _forget(self) -> None:
        rest = self._ids[len(self._ids) // 2 :]
        text = self._decode(rest, self._skip)
        gone = len(self._text) - len(text)
        if self._text.endswith(text) and gone <= len(self._shown) and self._text.startswith(self._shown):
            self._ids, self._text, self._shown = rest, text, self._shown[gone:]


def _common_start(left: str, right: str) -> str:
    most = min(len(left), len(right))
    return left[: next((at for at in range(most) if left[at] != right[at]), most)]
