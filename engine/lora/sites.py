"""Where adapters enter a model: its linear layers, and which tensors of the checkpoint each of them holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from paddock.engine.layers.linear import PackableLinear
from paddock.engine.layers.placement import Placement
from paddock.engine.lora.weights_file import Factors
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.registry import model_class
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget

META = torch.device("meta")


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a layer's outputs, and what it is of the checkpoint's matrix."""

    module: str
    """Its name in the checkpoint."""
    shape: tuple[int, int]
    """(outputs, inputs) of the checkpoint's matrix."""
    rows: slice
    outputs: slice
    inputs: slice


@dataclass(frozen=True, slots=True)
class Site:
    """A linear layer of this rank."""

    linear: PackableLinear
    size: tuple[int, int]
    """(outputs, inputs) on this rank."""
    parts: tuple[Part, ...]

    @property
    def modules(self) -> list[str]:
        """Without repetition: a checkpoint may hold several parts in one matrix."""
        return list(dict.fromkeys(part.module for part in self.parts))

    def factors(
        self, found: Mapping[str, Factors], dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """A and B of the whole layer on this rank, the ranks of its modules side by side; None where none changes."""
        modules = [module for module in self.modules if module in found]
        if not modules:
            return None
        rank = found[modules[0]].down.shape[0]
        inputs = self.parts[0].inputs
        down = torch.cat([found[module].down[:, inputs] for module in modules])
        up = torch.zeros(self.size[0], rank * len(modules))
        for part in self.parts:
            if part.module in modules:
                first = rank * modules.index(part.module)
                up[part.rows, first : first + rank] = found[part.module].up[part.outputs]
        return down.to(dtype), up.to(dtype)


def sites_of(model: DecoderLM, shape: ModelShape, place: Placement) -> list[Site]:
    """Of a model that is packed. A twin of it without data says which tensors its layers were filled from."""
    twin = model_class(shape.architecture)(shape, replace(place, device=META), 1)
    pairs = zip(_linears(twin), _linears(model), strict=True)
    own = {id(like.weight): (like, linear) for like, linear in pairs}
    sites: dict[int, Site] = {}
    for target in twin.weight_targets():
        # A target's destination is a view of its layer's weight.
        key = id(target.destination._base)
        if key in own:
            like, linear = own[key]
            assert like.weight is not None, "the twin is never packed"
            outputs, inputs = like.weight.shape
            known = sites[key].parts if key in sites else ()
            sites[key] = Site(linear, (outputs, inputs), (*known, _part(target, inputs, like.transposed)))
    return list(sites.values())


def module_shapes(shape: ModelShape) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of every module of the whole model that adapters may change, by its name in the checkpoint."""
    whole = Placement(torch.float32, META)
    twin = model_class(shape.architecture)(shape, whole, 1)
    return {part.module: part.shape for site in sites_of(twin, shape, whole) for part in site.parts}


def _linears(model: DecoderLM) -> Iterator[PackableLinear]:
    for layer in model.layers:
        yield from (module for module in layer.modules() if isinstance(module, PackableLinear))


def _part(target: WeightTarget, inputs: int, transposed: bool) -> Part:
    destination, full, source = target.destination, target.full_shape, target.source
    if transposed:
        destination, full, source = destination.t(), full[::-1], source[::-1]
    row = destination.storage_offset() // inputs
    return Part(
        target.name.removesuffix(".weight"),
        (full[0], full[1]),
        slice(row, row + destination.shape[0]),
        source[0],
        source[1],
    )
