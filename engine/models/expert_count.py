"""How many experts a model's layers have. Torch-free."""

from paddock.engine.models.shape import ModelShape

NAMES = ("n_routed_experts", "num_experts", "num_local_experts")


def expert_count(shape: ModelShape) -> int | None:
    """Of a model that the engine's own code runs; None where it has no experts. Raises `CheckpointError`."""
    if not shape.native:
        return None
    return next((shape.fields.count(name) for name in NAMES if shape.fields.get(name) is not None), None)
