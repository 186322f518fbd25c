"""Our attention under transformers' attention interface.

transformers calls it for every layer with the queries, keys and values of the whole flattened batch. What belongs to
which sequence, and where the cache is, stands in the step that is under way: the interface passes no such things.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.kernels import AttentionMetadata, cache_write, paged_attention

NAME = "paddock_paged"

Cache = tuple[torch.Tensor, torch.Tensor]

HARMLESS = frozenset(
    {
        "dropout",
        "sliding_window",  # the mask says it
        "use_cache",
        "position_ids",
        "cache_position",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "return_dict",
        "is_causal",
        "logits_to_keep",
    }
)
"""Arguments of the interface that change nothing here. What is neither here nor handled is refused."""


@dataclass(frozen=True)
class KeyValueShape:
    """What one attention layer keeps for a token."""

    num_kv_heads: int
    key_dim: int
    value_dim: int


@dataclass
class Step:
    """One forward pass. Layers are told apart by the order of their calls."""

    metadata: AttentionMetadata | None
    """None in the first pass, which only learns the shapes of the layers."""
    caches: Sequence[Cache] = ()
    shapes: list[KeyValueShape] = field(default_factory=list)
    """Of the layers called so far."""
    check_masks: bool = False
    windows: set[int] = field(default_factory=set)
    """Of the masks made so far, 0 for one without."""
    by_window: dict[int, AttentionMetadata] = field(default_factory=dict)

    def windowed(self, window: int) -> AttentionMetadata:
        assert self.metadata is not None
        if window not in self.by_window:
            self.by_window[window] = replace(self.metadata, sliding_window=window or None)
        return self.by_window[window]


_step: ContextVar[Step] = ContextVar("step")


@contextmanager
def running(step: Step) -> Iterator[Step]:
    """The step of every attention call inside."""
    token = _step.set(step)
    try:
        yield step
    finally:
        _step.reset(token)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """`[1, heads, tokens, dim]` each; returns `[1, tokens, heads, value_dim]`. Raises `Unsupported`."""
    step = _step.get()
    check_arguments(module, query, key, others)
    step.shapes.append(KeyValueShape(key.shape[1], key.shape[3], value.shape[3]))
    if step.metadata is None:
        return query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3]), None
    index = len(step.shapes) - 1
    if index >= len(step.caches):
        raise Unsupported("the number of its attention calls changes from step to step")
    metadata = step.windowed(window_of(attention_mask))
    key_cache, value_cache = step.caches[index]
    heads, dim = key_cache.shape[1], key_cache.shape[3]
    cache_write(
        fitted(key[0], heads, dim),
        fitted(value[0], heads, dim),
        key_cache,
        value_cache,
        metadata.slot_mapping,
    )
    scale = query.shape[3] ** -0.5 if scaling is None else float(scaling)
    out = paged_attention(
        fitted(query[0], query.shape[1], dim).contiguous(),
        key_cache,
        value_cache,
        metadata,
        scale,
        softcap=float(softcap or 0.0),
        sinks=None if s_aux is None else s_aux.float(),
    )
    return out[None, :, :, : value.shape[3]], None


def fitted(x: torch.Tensor, heads: int, dim: int) -> torch.Tensor:
    """`[heads_x, tokens, dim_x]` to `[tokens, heads, dim]`: heads repeated, dimensions filled up with zeros."""
    if x.shape[0] != heads:
        x = x.repeat_interleave(heads // x.shape[0], dim=0)
    if x.shape[2] != dim:
        x = functional.pad(x, (0, dim - x.shape[2]))
    return x.transpose(0, 1)


def check_arguments(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, others: Mapping[str, Any]
) -> None:
    """Raises `Unsupported` for what would be ignored."""
    if query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        raise Unsupported(f"its attention takes queries {list(query.shape)} with keys {list(key.shape)}")
    if others.get("is_causal", getattr(module, "is_causal", True)) is False:
        raise Unsupported("its attention looks at later tokens")
    unknown = sorted(name for name, value in others.items() if value is not None and name not in HARMLESS)
    if unknown:
        raise Unsupported(f"its attention takes {', '.join(unknown)}, which the paged cache does not handle")


def window_of(attention_mask: torch.Tensor | None) -> int:
    """The window that `describe_mask` wrote into a mask, 0 for none."""
    if attention_mask is None:
        return 0
    if attention_mask.numel() != 1 or attention_mask.dtype != torch.int64:
        raise Unsupported("it makes attention masks of its own")
    return int(attention_mask.item())


def describe_mask(
    *,
    mask_function: Callable[..., Any],
    local_size: int | None = None,
    use_vmap: bool = False,
    attention_mask: torch.Tensor | None = None,
    **others: Any,
) -> torch.Tensor:
    """In place of a mask, `[1, 1, 1, 1]` with the sliding window in it, 0 for none. Raises `Unsupported`."""
    if use_vmap or attention_mask is not None:
        raise Unsupported("it makes attention masks of its own")
    step = _step.get()
    step.windows.add(local_size or 0)
    if step.check_masks:
        check_mask(mask_function, local_size)
    return torch.full((1, 1, 1, 1), local_size or 0, dtype=torch.int64)


def check_mask(sees: Callable[..., Any], window: int | None) -> None:
    """Raises `Unsupported` for a mask that is neither causal nor a causal sliding window."""
    reach = window or 1 << 20
    for query in (0, 1, reach - 1, reach, 2 * reach, 3 * reach + 1):
        for distance in (-1, 0, 1, reach - 1, reach, reach + 1):
            expected = distance >= 0 and (window is None or distance < window)
            if query >= distance and _sees(sees, query, query - distance) != expected:
                raise Unsupported("its attention is neither causal nor a causal sliding window")


def _sees(mask: Callable[..., Any], query: int, key: int) -> bool:
    try:
        return bool(mask(*(torch.tensor(place) for place in (0, 0, query, key))))
    except IndexError:
        raise Unsupported("its attention mask depends on what the tokens are") from None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, describe_mask)
