"""What is particular to a family of models in config.json, and where its class is. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Windows = Literal["none", "every layer", "opt-in", "layer types"]


@dataclass(frozen=True)
class Family:
    location: str
    """`module:Class`; the module is imported when a model is built."""

    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a usual key, the names that this family gives it."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What the family's authors assume for keys that config.json leaves out."""

    windows: Windows = "none"
    """Which layers `sliding_window` covers: opt-in asks `use_sliding_window` first."""

    full_layer_every: int = 0
    """Without `layer_types`, each so-many-th layer sees everything."""

    activations: tuple[str, ...] = ("silu",)
    """Values of `hidden_act` that the family's feed-forward layer computes."""

    partial_rotary: bool = False
    """Whether a part of a head's dimensions may be left unrotated."""

    quantizations: tuple[str, ...] = ()
    """Methods of `quantization_config` whose weights the family's class reads."""

    rounds_weights: bool = True
    """Whether `--quantization int8` and `int4` find all of its large weights: not those of experts."""

    base_prefix: str = ""
    """Of all tensors but the head's; checkpoints of the base model alone leave it out."""

    needs: Mapping[str, Any] = field(default_factory=dict)
    """Keys that may have this value only; other checkpoints of the family are left to transformers."""

    def canonical(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The same keys, those of `aliases` under their usual names, and the defaults of those that are absent.

        A null stays: it often switches something off.
        """
        result = dict(fields)
        for name, others in self.aliases.items():
            found = [fields[other] for other in (name, *others) if fields.get(other) is not None]
            if found:
                result[name] = found[0]
        return {**self.defaults, **result}

    def unmet(self, fields: Mapping[str, Any]) -> str | None:
        """The first key of `needs` that has another value."""
        return next((name for name, value in self.needs.items() if fields.get(name, value) != value), None)
