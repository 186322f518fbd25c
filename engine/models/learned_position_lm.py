"""What GPT-2 and OPT share: learned positions, layer norms with biases, no rotary embedding."""

from collections.abc import Iterator

import torch

from paddock.engine.layers.learned_positions import LearnedPositions
from paddock.engine.layers.norm import LayerNorm, Norm
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.rotary import RotaryTable
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget


class LayerNormLayer(DecoderLayer):
    def make_norm(self, shape: ModelShape, place: Placement) -> Norm:
        return LayerNorm(shape.hidden_size, shape.rms_norm_eps, place)


class LearnedPositionLM(DecoderLM):
    positions_name: str
    position_offset = 0
    """Rows of the position table before that of position 0."""

    def __init__(self, shape: ModelShape, place: Placement, max_positions: int) -> None:
        super().__init__(shape, place, max_positions)
        self.positions: LearnedPositions | None = None
        if place.is_first_stage:
            rows = shape.max_position_embeddings + self.position_offset
            self.positions = LearnedPositions(rows, shape.hidden_size, place, self.position_offset)

    def final_norm(self, shape: ModelShape, place: Placement) -> Norm:
        return LayerNorm(shape.hidden_size, shape.rms_norm_eps, place)

    def rotary_tables(self, shape: ModelShape, max_positions: int, place: Placement) -> list[RotaryTable]:
        return []

    def weight_targets(self) -> Iterator[WeightTarget]:
        yield from super().weight_targets()
        if self.positions is not None:
            yield from self.positions.weight_targets(self.positions_name)

    def embed(self, token_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        assert self.positions is not None, "only the first stage embeds tokens"
        placed: torch.Tensor = self.positions(positions)
        return super().embed(token_ids, positions) + placed
