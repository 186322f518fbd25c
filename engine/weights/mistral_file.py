"""Mistral's own weight files under Hugging Face's names and in its order of rotary dimensions."""

import re
from collections.abc import Collection
from pathlib import Path

import torch

from paddock.engine.weights.tensor_file import TensorFile

TOP = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
INNER = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
ROTATED = (".self_attn.q_proj.weight", ".self_attn.k_proj.weight")


class MistralFile:
    """A file as `inner` reads it, renamed. Parts of query and key weights must be whole heads."""

    def __init__(self, inner: TensorFile, head_dim: int) -> None:
        self.path: Path = inner.path
        self._inner, self._head_dim = inner, head_dim
        self._own_names = {hugging_face_name(name): name for name in inner.names()}

    def names(self) -> Collection[str]:
        return self._own_names.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._inner.shape(self._own_names[name])

    def dtype(self, name: str) -> str:
        return self._inner.dtype(self._own_names[name])

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        tensor = self._inner.read(self._own_names[name], part)
        return halves_from_pairs(tensor, self._head_dim) if name.endswith(ROTATED) else tensor


def hugging_face_name(name: str) -> str:
    """The name in Hugging Face's format; one that is unknown stays, and is refused as such later."""
    if name in TOP:
        return TOP[name]
    matched = re.fullmatch(r"layers\.(\d+)\.(.+)\.weight", name)
    if matched is None or matched[2] not in INNER:
        return name
    return f"model.layers.{matched[1]}.{INNER[matched[2]]}.weight"


def halves_from_pairs(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Each head's rotated dimensions from (x0, y0, x1, y1, ...) to (x0, x1, ..., y0, y1, ...); `[heads * dim, in]`."""
    heads = rows.view(-1, head_dim // 2, 2, rows.shape[-1])
    return heads.transpose(1, 2).reshape(rows.shape)
