"""What stands in a tokenizer's place under --skip-tokenizer-init: token ids in, token ids out, and no text."""

from pathlib import Path
from typing import NoReturn

from paddock.server.errors import ApiError, bad_request
from paddock.server.tokens.detokenizer import Detokenizer
from paddock.server.tokens.tokenizer import Tokenizer


class NoTokenizer(Tokenizer):
    """Refuses text with ApiError 400 and shows none: an answer is the empty text beside its token ids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = {}
        self.size = 0

    def encode(self, text: str, add_special_tokens: bool) -> NoReturn:
        raise no_text("send the prompt as token ids to /v1/completions", "prompt")

    def encode_input(
        self,
        text: str,
        second: str | None = None,
        *,
        add_special_tokens: bool = True,
        longest: int | None = None,
    ) -> NoReturn:
        raise no_text("send the input as token ids", "input")

    def decode(self, token_ids: list[int], skip_special_tokens: bool) -> NoReturn:
        raise no_text("token ids cannot be made into text", "tokens")

    def detokenizer(self, prompt_ids: list[int], skip_special_tokens: bool) -> Detokenizer:
        return _Silence()

    def token_bytes(self, token_id: int) -> bytes:
        return b""

    def least_tokens(self, characters: int) -> int:
        return 0


class _Silence:
    """A detokenizer whose every answer is the empty text."""

    def push(self, token_id: int) -> str:
        return ""

    def flush(self) -> str:
        return ""


def no_text(what_to_do: str, field: str) -> ApiError:
    return bad_request(
        f"{field}: this server runs without a tokenizer (--skip-tokenizer-init): {what_to_do}.", field
    )
