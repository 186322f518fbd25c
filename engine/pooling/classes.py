"""Class scores as config.json declares them: their names, and what turns logits into scores. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from paddock.engine.models.errors import CheckpointError

if TYPE_CHECKING:
    from paddock.engine.config.structures import PoolerConfig

Activation = Literal["none", "sigmoid", "softmax"]

CROSS_ENCODER_ACTIVATIONS: dict[str, Activation] = {
    "Identity": "none",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
}
"""By the last part of the class that sentence-transformers writes into config.json."""


@dataclass(frozen=True)
class ClassScores:
    labels: tuple[str, ...] = ()
    activation: Activation = "none"

    @staticmethod
    def of_tokens(token_ids: tuple[int, ...]) -> "ClassScores":
        return ClassScores(tuple(map(str, token_ids)), _usual(len(token_ids)))

    @staticmethod
    def read(fields: Mapping[str, Any], source: str) -> "ClassScores":
        """Two classes where nothing is said, as transformers has it. Raises `CheckpointError`."""
        names = fields.get("id2label")
        if isinstance(names, Mapping) and names:
            labels = _ordered(names, source)
        else:
            count = fields.get("num_labels", 2)
            if type(count) is not int or count < 1:
                raise CheckpointError(
                    f"{source}: num_labels is {count!r}; expected a whole number of at least 1."
                )
            labels = tuple(f"LABEL_{index}" for index in range(count))
        return ClassScores(labels, _activation(fields, len(labels), source))

    def activation_asked(self, task: str, asked: "PoolerConfig | None") -> Activation:
        """In force, given `--pooler-config`: the model's own for classes, softmax over the scores of a token."""
        if task == "reward":
            wanted = None if asked is None else asked.softmax
            return "none" if wanted is False or len(self.labels) < 2 else "softmax"
        wanted = None if asked is None else asked.activation
        if wanted and self.activation == "none":
            return _usual(len(self.labels))
        return "none" if wanted is False else self.activation


def _ordered(names: Mapping[str, Any], source: str) -> tuple[str, ...]:
    try:
        return tuple(str(names[str(index)]) for index in range(len(names)))
    except KeyError as error:
        raise CheckpointError(
            f"{source}: id2label has no entry {error}; expected the classes 0 to {len(names) - 1}."
        ) from None


def _activation(fields: Mapping[str, Any], num_labels: int, source: str) -> Activation:
    nested = fields.get("sentence_transformers")
    chosen = nested.get("activation_fn") if isinstance(nested, Mapping) else None
    chosen = chosen or fields.get("sbert_ce_default_activation_function")
    if chosen is not None:
        name = str(chosen).rpartition(".")[2]
        if name not in CROSS_ENCODER_ACTIVATIONS:
            raise CheckpointError(
                f"{source}: activation function {chosen!r} is not supported; "
                f"{', '.join(CROSS_ENCODER_ACTIVATIONS)} are."
            )
        return CROSS_ENCODER_ACTIVATIONS[name]
    problem = fields.get("problem_type")
    if problem == "regression":
        return "none"
    return "sigmoid" if problem == "multi_label_classification" else _usual(num_labels)


def _usual(num_scores: int) -> Activation:
    return "softmax" if num_scores > 1 else "sigmoid"
