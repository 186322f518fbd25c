"""Logits processors of a user's own: the interface, for `--logits-processors` and the request field of that name.

    class OnlyDigits(LogitsProcessor):
        def __init__(self, settings, device):
            self.digits = …

        def apply(self, logits, rows, lengths):
            …

`--logits-processors my_package.OnlyDigits` applies one to every request. A request may name further ones, when
`--logits-processor-pattern` matches their whole dotted path: `"logits_processors": ["my_package.OnlyDigits"]`, or
`[{"qualname": "my_package.OnlyDigits", "kwargs": {"base": 16}}]` with arguments. Free values come in `vllm_xargs`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from paddock.engine.sampling.params import SamplingParams

if TYPE_CHECKING:
    import torch

    from paddock.engine.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class AddedRow:
    """A request has entered a row, for the first time or after a preemption."""

    row: int
    sampling: SamplingParams
    arguments: Mapping[str, Any]
    """The request's `extra_args`, and over them what it gave with this processor's name."""

    num_prompt_tokens: int
    token_ids: npt.NDArray[np.int32]
    """The row's memory, read-only: prompt and output, which grows in place as tokens are sampled. Only as many tokens
    are valid as `LogitsProcessor.apply` is told in `lengths`."""

    def prompt(self) -> npt.NDArray[np.int32]:
        return self.token_ids[: self.num_prompt_tokens]

    def output(self, length: int) -> npt.NDArray[np.int32]:
        """What was generated so far, of a row with `length` known tokens."""
        return self.token_ids[self.num_prompt_tokens : length]


@dataclass(frozen=True, slots=True)
class BatchUpdate:
    """What changed since the last call: rows that requests have left, or one that a request has entered."""

    removed: Sequence[int]
    added: Sequence[AddedRow]


class LogitsProcessor(ABC):
    """Changes the logits of the requests it serves, all of a step together. One object lives in each worker.

    It runs after penalties, `logit_bias` and `min_tokens`, and before temperature and truncation. An exception from
    `update` ends the request that was added, and no other. After one from `apply` it is called again for each row alone,
    and only those rows end for which it raises then, too.
    """

    def __init__(self, settings: "EngineSettings", device: "torch.device") -> None:  # noqa: B027
        """Made once, at start-up or when the first request names it."""

    @classmethod  # noqa: B027
    def check(cls, sampling: SamplingParams, arguments: Mapping[str, Any]) -> None:
        """Raise `ValueError`, with words for the user, for a request that cannot be served: it is answered 400."""

    def update(self, batch: BatchUpdate) -> None:  # noqa: B027
        """Called before a step in which requests of this processor left rows, and then once for each that entered one.
        Rows stay until removed."""

    @abstractmethod
    def apply(
        self, logits: "torch.Tensor", rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> "torch.Tensor":
        """`logits` float32 `[n, vocab]`, which may be changed in place; returns the same shape.

        Entry i belongs to row `rows[i]`, which knows `lengths[i]` tokens and gets its next one from these logits.
        """
