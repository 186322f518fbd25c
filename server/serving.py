"""What every route needs: the model's names, tokenizer, template and limits, and the engine."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from paddock.engine.config import FrontendConfig
from paddock.server.chat.template import ChatTemplate
from paddock.server.engine_client import EngineClient
from paddock.server.errors import ApiError, ContextExceededError
from paddock.server.generation.answer_parsers import AnswerParsers
from paddock.server.generation.constraints import Constraints
from paddock.server.generation.sampling import ModelLimits
from paddock.server.metrics import Metrics
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.responses.store import ResponseStore
from paddock.server.sampling_defaults import SamplingDefaults
from paddock.server.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from paddock.server.tracing.spans import RequestSpans

INLINE_CHARACTERS = 4_000
"""Texts up to this length are tokenized on the event loop (under a millisecond); longer ones in a thread."""


@dataclass(frozen=True)
class Serving:
    """One served model. Made once, when the engine is ready."""

    model_names: tuple[str, ...]
    root: str
    tokenizer: Tokenizer
    chat_template: ChatTemplate | None
    defaults: SamplingDefaults
    limits: ModelLimits
    client: EngineClient
    metrics: Metrics
    frontend: FrontendConfig
    parsers: AnswerParsers = field(default_factory=AnswerParsers)
    constraints: Constraints = field(default_factory=Constraints)
    responses: ResponseStore | None = None
    """None where responses cannot be fetched later: another process might be asked for them."""

    pooling: PoolingModel | None = None
    """None where the model generates."""

    spans: "RequestSpans | None" = None
    """Where requests are written that have ended; None where nothing is traced."""

    changes_adapters: bool = False
    """Whether adapters may be loaded and unloaded by requests."""

    sleeps: bool = False
    """Whether the engine may be sent to sleep, with the development routes."""

    log_requests: bool = False
    development: Mapping[str, Any] | None = None
    """The effective configuration, without secrets, for the development routes; None keeps those closed."""

    created: int = field(default_factory=lambda: int(time.time()))
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "tokenize"))

    def model_name(self, asked: str | None) -> str:
        """The name to answer under. Raises ApiError 404 for one that is not served."""
        if asked is None:
            return self.model_names[0]
        if asked not in self.model_names and self.client.adapters.find(asked) is None:
            there = f"There is `{self.model_names[0]}`; GET /v1/models lists all."
            raise ApiError(404, f"The model `{asked[:200]}` does not exist. {there}", "model")
        return asked

    def adapter_name(self, asked: str | None) -> str | None:
        """None where a request that names `asked` is for the base model."""
        return None if asked is None or asked in self.model_names else asked

    @cached_property
    def sets_special_tokens_apart(self) -> bool:
        """Whether the tokenizer writes two special tokens in a row with something between them."""
        for token in self.tokenizer.special_tokens.values():
            [token_id, *_] = self.tokenizer.encode(token, False)
            return (
                self.tokenizer.decode([token_id] * 2, False) != self.tokenizer.decode([token_id], False) * 2
            )
        return False

    async def encode(self, texts: list[str], add_special_tokens: bool, field: str) -> list[list[int]]:
        """Token ids of prompts. Raises ApiError 400 for a text that cannot fit, without tokenizing it."""
        for text in texts:
            self._refuse_hopeless(text, field)
        if sum(map(len, texts)) <= INLINE_CHARACTERS:
            return self.tokenizer.encode_all(texts, add_special_tokens)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self.tokenizer.encode_all, texts, add_special_tokens)

    def _refuse_hopeless(self, text: str, field: str) -> None:
        least = self.tokenizer.least_tokens(len(text))
        if least > self.limits.max_model_len:
            raise ContextExceededError(
                f"This model's maximum context length is {self.limits.max_model_len} tokens. However, the prompt has "
                f"at least {least} tokens. Shorten the prompt.",
                field,
            )
