"""OPT: position p has the row p + 2, and layer norms come first (all sizes but 350M)."""

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import PlainMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.learned_position_lm import LayerNormLayer, LearnedPositionLM
from paddock.engine.models.shape import ModelShape


class OPTLayer(LayerNormLayer):
    attention_norm_name = "self_attn_layer_norm"
    mlp_norm_name = "final_layer_norm"

    def mlp_prefix(self, prefix: str) -> str:
        return prefix


class OPTForCausalLM(LearnedPositionLM):
    embedding_name = "model.decoder.embed_tokens"
    positions_name = "model.decoder.embed_positions"
    layers_name = "model.decoder.layers"
    norm_name = "model.decoder.final_layer_norm"
    position_offset = 2

    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        projected = shape.fields.get("word_embed_proj_dim")
        if projected not in (None, shape.hidden_size):
            raise CheckpointError(
                f"{shape.fields.source}: word_embed_proj_dim {projected!r} other than hidden_size "
                f"{shape.hidden_size} is not supported by the engine's own code; use --model-impl transformers."
            )
        bias = shape.fields.flag("enable_bias", True)
        form = AttentionForm(qkv_bias=bias, output_bias=bias, output="out_proj", rotary=None)
        mlp = PlainMLP(shape, place, ("fc1", "fc2"), bias=bias)
        return OPTLayer(shape, place, SelfAttention(shape, layer, place, form), mlp)
