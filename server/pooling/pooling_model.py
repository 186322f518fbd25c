"""What the served model can be asked to pool, and the engine's parameters for it."""

from dataclasses import dataclass
from typing import Literal

from paddock.engine.pooling.params import OF_EVERY_TOKEN, PoolingParams, PoolingType
from paddock.engine.pooling.plan import PoolingPlan
from paddock.server.errors import bad_request

PoolingTask = Literal["embed", "token_embed", "classify", "token_classify"]


@dataclass(frozen=True, slots=True)
class PoolingModel:
    plan: PoolingPlan
    most_at_once: int
    """Inputs that the engine computes side by side; more of one request than that wait here."""

    @property
    def tasks(self) -> tuple[PoolingTask, ...]:
        """The model's own first."""
        plan = self.plan
        if plan.task == "embed":
            return ("token_embed",) if plan.pooling in OF_EVERY_TOKEN else ("embed", "token_embed")
        if plan.task == "reward":
            return ("token_classify",)
        # The heads of encoders are for whole inputs.
        return ("classify", "token_classify") if plan.head in ("score", "tokens") else ("classify",)

    def params(
        self,
        task: PoolingTask | None,
        *,
        dimensions: int | None = None,
        activate: bool | None = None,
        field: str = "task",
    ) -> PoolingParams:
        """Unset values are the model's. Raises ApiError 400, which blames `field` for a task that is not served."""
        task = task or self.tasks[0]
        if task not in self.tasks:
            raise bad_request(
                f"{field}: this server's model does {' and '.join(self.tasks)}, not {task}; --convert and --pooler-config "
                "of the server decide which.",
                field,
            )
        scores = task.endswith("classify")
        if scores and dimensions is not None:
            raise bad_request(
                f"dimensions: {task} has class scores, which cannot be cut; leave it out.", "dimensions"
            )
        default = True if scores else self.plan.normalize
        return PoolingParams(
            pooling=self._pooling(task),
            scores=scores,
            activate=default if activate is None else activate,
            dimensions=None if scores else self._dimensions(dimensions),
        )

    def _pooling(self, task: PoolingTask) -> PoolingType:
        of_tokens = task.startswith("token_")
        return "ALL" if of_tokens and self.plan.pooling not in OF_EVERY_TOKEN else self.plan.pooling

    def _dimensions(self, asked: int | None) -> int | None:
        sizes, hidden = self.plan.matryoshka, self.plan.hidden_size
        if asked is None:
            return self.plan.dimensions
        if sizes is None:
            raise bad_request(
                "dimensions: this model was not made to be shortened (its config.json has neither is_matryoshka nor "
                "matryoshka_dimensions); leave it out.",
                "dimensions",
            )
        if asked > hidden or (sizes and asked not in sizes):
            allowed = ", ".join(map(str, sizes)) if sizes else f"1 to {hidden}"
            raise bad_request(f"dimensions is {asked}; this model allows {allowed}.", "dimensions")
        return asked

    @property
    def is_cross_encoder(self) -> bool:
        """It reads two texts at once and says in one number how they go together."""
        return self.plan.task == "classify" and len(self.plan.labels) == 1

    @property
    def compares_vectors(self) -> bool:
        return "embed" in self.tasks
