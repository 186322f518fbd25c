"""What is particular to a family of encoders in config.json. Torch-free; the classes are in `encoder.py`."""

from paddock.engine.models.family import Family

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu")
HERE = "paddock.engine.models.encoder"
ABSOLUTE = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}


def _bert_like(location: str, rms_norm_eps: float) -> Family:
    return Family(
        location,
        aliases={"rms_norm_eps": ("layer_norm_eps",)},
        defaults={"rms_norm_eps": rms_norm_eps, "hidden_act": "gelu", "type_vocab_size": 2},
        activations=ACTIVATIONS,
        needs=ABSOLUTE,
    )


ENCODER_FAMILIES: dict[str, Family] = {
    "BertModel": _bert_like(f"{HERE}:BertModel", 1e-12),
    "DistilBertModel": Family(
        f"{HERE}:DistilBertModel",
        aliases={
            "hidden_size": ("dim",),
            "num_hidden_layers": ("n_layers",),
            "num_attention_heads": ("n_heads",),
            "intermediate_size": ("hidden_dim",),
            "hidden_act": ("activation",),
        },
        defaults={"rms_norm_eps": 1e-12, "hidden_act": "gelu"},
        activations=ACTIVATIONS,
    ),
    "RobertaModel": _bert_like(f"{HERE}:RobertaModel", 1e-12),
    "XLMRobertaModel": _bert_like(f"{HERE}:RobertaModel", 1e-12),
}
