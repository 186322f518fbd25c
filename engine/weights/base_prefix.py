"""Checkpoints of a base model alone: the same tensors, their names without the base model's prefix."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from paddock.engine.weights.target import WeightTarget


def as_stored(
    targets: Sequence[WeightTarget], elsewhere: Collection[str], found: Collection[str], prefix: str
) -> tuple[list[WeightTarget], set[str]]:
    """Targets, and names of tensors that are loaded elsewhere, as the files with the names `found` call them.

    GPT-2's first checkpoints are such; `prefix` is empty for a family that has none.
    """
    if not prefix or any(name.startswith(prefix) for name in found):
        return list(targets), set(elsewhere)
    renamed = [replace(target, name=target.name.removeprefix(prefix)) for target in targets]
    return renamed, {name.removeprefix(prefix) for name in elsewhere}
