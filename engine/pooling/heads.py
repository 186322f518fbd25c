"""What turns a hidden state into class scores."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.plan import PoolingPlan
from paddock.engine.weights.target import WeightTarget

Activation = Callable[[torch.Tensor], torch.Tensor]


class ScoreHead(nn.Module):
    """`[rows, hidden]` to logits `[rows, scores]`. Replicated on every rank: it is small."""

    def weight_targets(self) -> Iterator[WeightTarget]:
        raise NotImplementedError


class MatrixHead(ScoreHead):
    """One matrix without a bias, named score: decoders' sequence classification in transformers."""

    def __init__(self, shape: ModelShape, plan: PoolingPlan, place: Placement) -> None:
        super().__init__()
        self.weight = place.empty(len(plan.labels), shape.hidden_size)

    def weight_targets(self) -> Iterator[WeightTarget]:
        yield WeightTarget("score.weight", tuple(self.weight.shape), self.weight)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.linear(hidden, self.weight)


class TokenHead(MatrixHead):
    """The rows of some vocabulary entries, of a causal model's output head: their logits."""

    def __init__(self, shape: ModelShape, plan: PoolingPlan, place: Placement, head_name: str) -> None:
        """`head_name` is that of the whole matrix in the checkpoint."""
        super().__init__(shape, plan, place)
        self.token_ids = plan.score_token_ids
        self.head_name, self.vocab_size = head_name, shape.vocab_size

    def weight_targets(self) -> Iterator[WeightTarget]:
        full = (self.vocab_size, self.weight.shape[1])
        for row, token_id in enumerate(self.token_ids):
            own = self.weight[row : row + 1]
            yield WeightTarget(f"{self.head_name}.weight", full, own, (slice(token_id, token_id + 1),))


@dataclass(frozen=True)
class DenseNames:
    dense: str
    output: str
    activation: Activation


ENCODER_HEADS = {
    "bert": DenseNames("bert.pooler.dense", "classifier", torch.tanh),
    "roberta": DenseNames("classifier.dense", "classifier.out_proj", torch.tanh),
    "distilbert": DenseNames("pre_classifier", "classifier", torch.relu),
}


class DenseHead(ScoreHead):
    """output(activation(dense(x))): the classification of encoders, over the state of their first token."""

    def __init__(self, shape: ModelShape, plan: PoolingPlan, place: Placement) -> None:
        super().__init__()
        self.names = ENCODER_HEADS[plan.head]
        hidden, scores = shape.hidden_size, len(plan.labels)
        self.dense_weight, self.dense_bias = place.empty(hidden, hidden), place.empty(hidden)
        self.weight, self.bias = place.empty(scores, hidden), place.empty(scores)

    def weight_targets(self) -> Iterator[WeightTarget]:
        tensors = {
            f"{self.names.dense}.weight": self.dense_weight,
            f"{self.names.dense}.bias": self.dense_bias,
            f"{self.names.output}.weight": self.weight,
            f"{self.names.output}.bias": self.bias,
        }
        for name, tensor in tensors.items():
            yield WeightTarget(name, tuple(tensor.shape), tensor)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        dense = self.names.activation(functional.linear(hidden, self.dense_weight, self.dense_bias))
        return functional.linear(dense, self.weight, self.bias)
