"""A causal language model of transformers as the engine's: flattened batches, paged cache."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.transformers_backend.attention import Cache, KeyValueShape, Step, running
from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.engine.models.transformers_backend.support import check_window
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import AttentionMetadata


class GivenHidden(nn.Module):
    """Stands in for the base model while logits are made: the whole of the head's own arithmetic then applies."""

    def __init__(self, output_type: Any) -> None:
        """`output_type` is what the base model returns."""
        super().__init__()
        self.output_type = output_type
        self.hidden: torch.Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.output_type(last_hidden_state=self.hidden)


class TransformersCausalLM(CausalLM):
    """Owns a loaded model of transformers in evaluation mode. Raises `Unsupported` for a shape the cache cannot hold."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.caches: Sequence[Cache] = ()
        self.base_name, output_type, shapes = self._first_pass()
        self.base: nn.Module = model.get_submodule(self.base_name)
        self.given = GivenHidden(output_type)
        self.num_cache_layers = len(shapes)
        self.num_kv_heads = max(shape.num_kv_heads for shape in shapes)
        self.head_dim = max(max(shape.key_dim, shape.value_dim) for shape in shapes)
        if any(self.num_kv_heads % shape.num_kv_heads for shape in shapes):
            raise Unsupported(
                "its layers differ in KV heads, and the largest number is no multiple of the others"
            )

    @torch.inference_mode()
    def _first_pass(self) -> tuple[str, Any, list[KeyValueShape]]:
        """The name of the module that makes the hidden states, the type of its output, and the layers' shapes.

        By a pass over two tokens that computes no attention.
        """
        ids = torch.zeros(1, 2, dtype=torch.int64, device=next(self.model.parameters()).device)
        made: list[tuple[str, Any]] = []
        hooks = [
            module.register_forward_hook(partial(_note_output, made, name))
            for name, module in self.model.named_modules()
            if name
        ]
        try:
            with running(Step(None, check_masks=True)) as step:
                self.model(input_ids=ids, use_cache=False, return_dict=True)
        finally:
            for hook in hooks:
                hook.remove()
        if not step.shapes or not made:
            raise Unsupported("its attention does not go through transformers' attention interface")
        check_window(self.model.config, step.windows)
        return *made[-1], step.shapes

    def weight_targets(self) -> Iterator[WeightTarget]:
        """None: transformers has filled them."""
        return iter(())

    def pack(self) -> None:
        """Nothing: transformers multiplies."""

    def bind_cache(self, caches: Sequence[Cache]) -> None:
        self.caches = list(caches)

    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        metadata: AttentionMetadata,
        incoming: torch.Tensor | None = None,
    ) -> torch.Tensor:
        with running(Step(metadata, self.caches)) as step:
            output = self.base(
                input_ids=token_ids.long()[None],
                position_ids=positions[None],
                use_cache=False,
                return_dict=True,
            )
        if len(step.shapes) != self.num_cache_layers:
            raise Unsupported("the number of its attention calls changes from step to step")
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        self.given.hidden = hidden[None]
        self.model.set_submodule(self.base_name, self.given)
        try:
            # The ids only say how many rows there are.
            ids = torch.zeros(1, hidden.shape[0], dtype=torch.int64, device=hidden.device)
            scores: torch.Tensor = self.model(input_ids=ids, use_cache=False, return_dict=True).logits[0]
        finally:
            self.model.set_submodule(self.base_name, self.base)
            self.given.hidden = None
        return scores.float()


def _note_output(made: list[tuple[str, Any]], name: str, module: nn.Module, inputs: Any, output: Any) -> None:
    """The last one noted is the outermost."""
    if getattr(output, "last_hidden_state", None) is not None:
        made.append((name, type(output)))
