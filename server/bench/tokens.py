"""Text to token ids and back, by a local tokenizer or by the server itself."""

import random
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from paddock.server.bench.errors import BenchError
from paddock.server.bench.pages import Pages

if TYPE_CHECKING:
    from paddock.server.tokens.tokenizer import Tokenizer

POOL_TEXTS, POOL_WORDS = 8, 120
"""Random texts whose tokens make random prompts: short enough for the smallest context in use."""


class Tokens(Protocol):
    def encode(self, text: str) -> list[int]:
        """Token ids without special ones."""

    def encode_chat(self, text: str) -> list[int]:
        """Token ids of a chat with this one message of the user's, rendered by the chat template."""

    def decode(self, token_ids: list[int]) -> str: ...


class LocalTokens:
    """The tokenizer of a folder, or of a hub repository."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, name: str, trust_remote_code: bool = False) -> "LocalTokens":
        """Raises BenchError."""
        from paddock.engine.config import LoadConfig, ModelConfig
        from paddock.engine.models.checkpoint import resolve_tokenizer
        from paddock.engine.models.errors import CheckpointError
        from paddock.server.tokens.choice import load_tokenizer
        from paddock.server.tokens.tokenizer import TokenizerError

        model = ModelConfig(tokenizer=name, trust_remote_code=trust_remote_code)
        try:
            return cls(load_tokenizer(model, resolve_tokenizer(model, LoadConfig(), Path(name))))
        except (CheckpointError, TokenizerError) as error:
            raise BenchError(f"--tokenizer {name}: {error}") from None

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def encode_chat(self, text: str) -> list[int]:
        from paddock.server.chat.template import TemplateError, load_chat_template

        try:
            template = load_chat_template(self._tokenizer, None)
            if template is None:
                raise TemplateError("the tokenizer's folder has none")
            content: Any = [{"type": "text", "text": text}] if template.wants_parts else text
            return self.encode(template.render([{"role": "user", "content": content}]))
        except TemplateError as error:
            raise BenchError(
                f"chat template: {error}; --skip-chat-template sends texts as they are"
            ) from None

    def decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=False)


class RemoteTokens:
    """The routes /tokenize and /detokenize of the server that is measured: no file of the model is needed here."""

    def __init__(self, pages: Pages, model: str) -> None:
        self._pages = pages
        self._model = model

    def encode(self, text: str) -> list[int]:
        return self._tokenize({"prompt": text, "add_special_tokens": False})

    def encode_chat(self, text: str) -> list[int]:
        return self._tokenize({"messages": [{"role": "user", "content": text}]})

    def decode(self, token_ids: list[int]) -> str:
        return str(self._ask("/detokenize", {"tokens": token_ids}, "prompt"))

    def _tokenize(self, body: dict[str, Any]) -> list[int]:
        found = self._ask("/tokenize", body, "tokens")
        return [int(token_id) for token_id in found]

    def _ask(self, path: str, body: dict[str, Any], key: str) -> Any:
        status, answer = self._pages.post(path, {"model": self._model, **body})
        if status != 200 or not isinstance(answer, dict) or key not in answer:
            raise BenchError(
                f"the server's {path} answered {status}: {answer}. Name the model's tokenizer with --tokenizer"
            )
        return answer[key]


def token_pool(tokens: Tokens, draw: random.Random) -> list[int]:
    """Ordinary tokens to draw random prompts from: those of random words, which include no special one."""
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(1, 8))) for _ in range(POOL_WORDS)]
    pool: list[int] = []
    for _ in range(POOL_TEXTS):
        draw.shuffle(words)
        pool += tokens.encode(" ".join(words))
    if not pool:
        raise BenchError("the tokenizer makes no token of ordinary words: choose another with --tokenizer")
    return sorted(set(pool))
