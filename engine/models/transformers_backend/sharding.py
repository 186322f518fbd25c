"""A model of transformers as one of several tensor-parallel ranks.

Its parameters are cut where transformers registers them, one after the other, so that no rank ever holds the whole.
What crosses the ranks does so before and after the modules that its plan names.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from paddock.engine.layers.placement import Placement
from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.engine.models.transformers_backend.tensor_plan import Style, TensorPlan


@dataclass(frozen=True)
class Part:
    """This rank's part of a parameter of `shape`."""

    shape: tuple[int, ...]
    dim: int
    groups: int
    share: int
    """Of one group."""
    rank: int
    first_only: bool
    """Whether the first rank keeps the whole and the others zeros, since all ranks add it to what is summed."""

    @torch.no_grad()
    def take(self, whole: torch.Tensor) -> torch.Tensor:
        if self.first_only:
            return whole.clone() if self.rank == 0 else torch.zeros_like(whole)
        dim = whole.dim() + self.dim
        groups = whole.reshape(*whole.shape[:dim], self.groups, -1, *whole.shape[dim + 1 :])
        length = groups.shape[dim + 1]
        first = min(self.rank * self.share, length)
        own = groups.narrow(dim + 1, first, min(self.share, length - first))
        size = [*groups.shape]
        size[dim + 1] = self.share
        part = whole.new_zeros(size)
        part.narrow(dim + 1, 0, own.shape[dim + 1]).copy_(own)
        return part.flatten(dim, dim + 1)


class Sharding:
    """The parts that one rank keeps of one model while that is loaded."""

    def __init__(self, place: Placement) -> None:
        self._place = place
        self._parts: dict[nn.Module, dict[str, Part]] = {}

    def adopt(self, model: Any) -> None:
        """Call on the model once it is built, its parameters still empty or already random. Raises `Unsupported`."""
        plan = TensorPlan(model.tp_plan)
        plan.check_heads(model.config.get_text_config(decoder=True).to_dict(), self._place.size)
        for name, module in model.named_modules():
            style = plan.style(name)
            for parameter, whole in module.named_parameters(recurse=False):
                full_name = f"{name}.{parameter}"
                own = plan.style(full_name) or style
                if own is not None and own.side is not None:
                    part = self._part(own, full_name, tuple(whole.shape))
                    self._parts.setdefault(module, {})[parameter] = part
            if style is not None:
                self._cross(module, name, style)
        self._cut_filled()

    def _part(self, style: Style, name: str, shape: tuple[int, ...]) -> Part:
        of_inputs, size = style.side == "inputs", self._place.size
        is_bias = of_inputs and (len(shape) == 1 or name.endswith("bias"))
        dim = -1 if of_inputs or len(shape) == 1 else -2
        length = shape[dim] // style.groups
        if not style.padded and not is_bias and shape[dim] % (size * style.groups):
            raise Unsupported(
                f"--tensor-parallel-size {size} does not divide the {length} {style.side} of {name}"
            )
        return Part(shape, dim, style.groups, -(-length // size), self._place.rank, is_bias)

    def _cut_filled(self) -> None:
        cut: dict[tuple[int, Part], nn.Parameter] = {}
        for module, parts in self._parts.items():
            for name, part in parts.items():
                whole = module._parameters[name]
                if whole is not None and not whole.is_meta:
                    # One tensor under two names stays one.
                    key = (id(whole), part)
                    cut.setdefault(key, nn.Parameter(part.take(whole), requires_grad=False))
                    module._parameters[name] = cut[key]

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Parameters that are filled inside are cut at once."""
        handle = register_module_parameter_registration_hook(cast("Callable[..., None]", self._register))
        try:
            yield
        finally:
            handle.remove()

    def _register(self, module: nn.Module, name: str, whole: nn.Parameter | None) -> nn.Parameter | None:
        part = self._parts.get(module, {}).get(name)
        if part is None or whole is None or whole.is_meta or tuple(whole.shape) != part.shape:
            return None
        cut = nn.Parameter(part.take(whole), requires_grad=False)
        # transformers would fill it at random otherwise.
        cut._is_hf_initialized = getattr(whole, "_is_hf_initialized", False)  # type: ignore[attr-defined]
        return cut

    def check(self, model: Any) -> None:
        """Call when the model is loaded: what is cut under one name must be under every other. Raises `Unsupported`."""
        cut = {id(module._parameters[name]) for module, parts in self._parts.items() for name in parts}
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if id(parameter) in cut and name not in self._parts.get(module, {}):
                    raise Unsupported(
                        "its tensor-parallel plan cuts a tensor that another module uses whole; use "
                        "--tensor-parallel-size 1"
                    )

    def _check_kind(self, module: nn.Module, name: str, style: Style) -> None:
        if not isinstance(module, nn.Embedding if style.boundary == "look up, sum" else nn.Linear):
            raise Unsupported(
                f"its tensor-parallel plan cuts {name}, a {type(module).__name__}, in a way that is for another kind "
                "of layer; use --tensor-parallel-size 1"
            )

    def _cross(self, module: nn.Module, name: str, style: Style) -> None:
        place = self._place
        if style.side is not None:
            self._check_kind(module, name, style)
        if style.boundary == "gather":
            outputs = self._parts[module]["weight"].shape[0]
            module.register_forward_hook(partial(_gather, place, outputs))
        elif style.boundary == "look up, sum":
            assert isinstance(module, nn.Embedding), "checked above"
            module.padding_idx = None  # it says nothing outside of training, and may be another rank's
            share = self._parts[module]["weight"].share
            module.forward = partial(_look_up, place, share, module.forward)  # type: ignore[method-assign]
        elif style.boundary == "share":
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0] / place.size, *inputs[1:]))
        elif style.boundary != "none":
            if style.side is None and len(self._parts.get(module, ())) < len(module._parameters):
                raise Unsupported(
                    f"its tensor-parallel plan sums {name}, and does not cut all of it; use "
                    "--tensor-parallel-size 1"
                )
            if style.boundary == "split, sum":
                module.register_forward_pre_hook(partial(_split, place))
            module.register_forward_hook(partial(_sum, place))


def sharded(kind: Any, sharding: Sharding) -> Any:
    """`kind`, adopted as it is built: transformers loads right after."""

    def build(self: Any, *arguments: Any, **named: Any) -> None:
        kind.__init__(self, *arguments, **named)
        sharding.adopt(self)

    return type(kind.__name__, (kind,), {"__init__": build, "__module__": kind.__module__})


def _gather(
    place: Placement, outputs: int, module: nn.Module, inputs: Any, output: torch.Tensor
) -> torch.Tensor:
    gathered = place.all_gather(output.reshape(-1, output.shape[-1]))
    return gathered.view(*output.shape[:-1], -1)[..., :outputs]


def _sum(place: Placement, module: nn.Module, inputs: Any, output: Any) -> torch.Tensor:
    if not isinstance(output, torch.Tensor):
        raise Unsupported(f"its {type(module).__name__} returns more than the tensor that ranks add up")
    return place.all_reduce(output.contiguous())


def _split(place: Placement, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    whole, *others = inputs
    return whole.chunk(place.size, dim=-1)[place.rank].contiguous(), *others


def _look_up(
    place: Placement, share: int, own: Callable[[torch.Tensor], torch.Tensor], token_ids: torch.Tensor
) -> torch.Tensor:
    local = token_ids - place.rank * share
    foreign = (local < 0) | (local >= share)
    rows = own(local.masked_fill(foreign, 0))
    return place.all_reduce(rows.masked_fill(foreign[..., None], 0))
