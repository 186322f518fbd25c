"""GPT-2: weights stored as inputs x outputs, queries, keys and values in one."""

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import PlainMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.learned_position_lm import LayerNormLayer, LearnedPositionLM
from paddock.engine.models.shape import ModelShape


class GPT2Layer(LayerNormLayer):
    attention_norm_name = "ln_1"
    attention_name = "attn"
    mlp_norm_name = "ln_2"


class GPT2LMHeadModel(LearnedPositionLM):
    embedding_name = "transformer.wte"
    positions_name = "transformer.wpe"
    layers_name = "transformer.h"
    norm_name = "transformer.ln_f"

    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        form = AttentionForm(
            qkv_bias=True,
            output_bias=True,
            packed="c_attn",
            output="c_proj",
            transposed=True,
            scale=_scale(shape, layer),
            rotary=None,
        )
        mlp = PlainMLP(shape, place, ("c_fc", "c_proj"), bias=True, transposed=True)
        return GPT2Layer(shape, place, SelfAttention(shape, layer, place, form), mlp)


def _scale(shape: ModelShape, layer: int) -> float:
    scale = shape.head_dim**-0.5 if shape.fields.flag("scale_attn_weights", True) else 1.0
    return scale / (layer + 1) if shape.fields.flag("scale_attn_by_inverse_layer_idx") else scale
