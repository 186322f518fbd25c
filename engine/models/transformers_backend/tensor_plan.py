"""What a model's `tp_plan` says of one of its parts, for a tensor-parallel rank.

transformers' authors write the plan beside the model: a style for the name of a module or of a parameter, with `*` for
the number of a layer. The styles are read here, and carried out by `sharding`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from paddock.engine.models.transformers_backend.refusal import Unsupported

Boundary = Literal["none", "gather", "sum", "split, sum", "look up, sum", "share"]
"""What a module does beside its own computation: put the ranks' outputs side by side, add them up, take the rank's
part of the input first, look up only the rank's rows, or divide what all ranks add up."""

Side = Literal["outputs", "inputs"]


@dataclass(frozen=True)
class Style:
    """How the ranks share a module or a parameter. Without a `side` each keeps the whole."""

    side: Side | None = None
    """Of a matrix `[..., outputs, inputs]`, which dimension is cut."""
    groups: int = 1
    """Equal runs that lie one after the other in that dimension; each is cut by itself."""
    boundary: Boundary = "none"

    @property
    def padded(self) -> bool:
        """Whether ranks may have unequal parts: those of the last are filled up with zeros."""
        return self.boundary in ("gather", "look up, sum")


STYLES = {
    "colwise": Style("outputs"),
    "colwise_gather_output": Style("outputs", boundary="gather"),
    "colwise_rep": Style("outputs", boundary="gather"),
    "packed_colwise": Style("outputs", groups=2),
    "rowwise": Style("inputs", boundary="sum"),
    "rowwise_split_input": Style("inputs", boundary="split, sum"),
    "rowwise_rep": Style("inputs", boundary="split, sum"),
    "packed_rowwise": Style("inputs", groups=2),
    "embedding_rowwise": Style("outputs", boundary="look up, sum"),
    "moe_tp_experts": Style(boundary="sum"),
    "all_reduce": Style(boundary="sum"),
    "moe_identity_expert": Style(boundary="share"),
    "replicate": Style(),
    # These differ from `replicate` in training, or where parameters are of torch's distributed type.
    "replicated_with_grad_allreduce": Style(),
    "mla_kv_a_proj": Style(),
    "local_params": Style(),
}

HEADS = {"num_attention_heads": "attention heads", "num_key_value_heads": "KV heads"}


class TensorPlan:
    """The styles of a plan by name. Raises `Unsupported` for one that is not known here."""

    def __init__(self, plan: Mapping[str, str]) -> None:
        if not any("*" in name for name in plan):
            raise Unsupported(
                "transformers has no tensor-parallel plan for its layers; use --tensor-parallel-size 1"
            )
        unknown = sorted(set(plan.values()) - set(STYLES))
        if unknown:
            raise Unsupported(
                f"its tensor-parallel plan has the style {', '.join(unknown)}, which only transformers knows; use "
                "--tensor-parallel-size 1"
            )
        self._plan = plan

    def style(self, name: str) -> Style | None:
        """Of the module or parameter `name`; None where the plan says nothing of it."""
        found = self._plan.get(name) or self._plan.get(re.sub(r"\.\d+(?=\.|$)", ".*", name))
        return None if found is None else STYLES[found]

    def check_heads(self, counts: Mapping[str, object], size: int) -> None:
        """Raises `Unsupported` when the plan cuts keys by heads, and `size` ranks cannot have equal numbers of them."""
        if not any(name.endswith(".k_proj") and style == "colwise" for name, style in self._plan.items()):
            return
        for field, what in HEADS.items():
            count = counts.get(field)
            if isinstance(count, int) and count % size:
                raise Unsupported(f"--tensor-parallel-size {size} does not divide its {count} {what}")
