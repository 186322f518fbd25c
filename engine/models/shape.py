"""The shape of a model, read from a checkpoint's config.json and generation_config.json. Torch-free."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.registry import check_supported
from paddock.engine.models.rope import RopeShape

if TYPE_CHECKING:
    from paddock.engine.config import ModelConfig

__all__ = ["CheckpointError", "ModelShape"]


@dataclass(frozen=True)
class ModelShape:
    """All that the engine needs to know of a model before its weights are read."""

    architecture: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope: RopeShape
    layer_windows: tuple[int | None, ...]
    """Per layer, how many last positions (its own included) a token sees; None is all."""
    attention_bias: bool
    mlp_bias: bool
    tie_embeddings: bool
    torch_dtype: str
    """The checkpoint's own: float32, bfloat16 or float16."""
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
    """Of config.json and generation_config.json together; any of them ends a sequence."""

    @staticmethod
    def read(path: Path, config: "ModelConfig") -> "ModelShape":
        """Raises `CheckpointError` when `path` is no checkpoint that can be served."""
        file = path / "config.json"
        fields = _read_json(file)
        source = str(file)
        architecture = _architecture(fields, source)
        _refuse_unsupported(fields, source)
        hidden_size = _count(fields, "hidden_size", source)
        num_layers = _count(fields, "num_hidden_layers", source)
        num_heads = _count(fields, "num_attention_heads", source)
        num_kv_heads = _count(fields, "num_key_value_heads", source, default=num_heads)
        if num_heads % num_kv_heads:
            raise CheckpointError(
                f"{source}: num_attention_heads {num_heads} is not a multiple of num_key_value_heads {num_kv_heads}."
            )
        # Qwen3 alone has a class default for head_dim that differs from hidden_size / heads.
        default_head_dim = 128 if architecture == "Qwen3ForCausalLM" else hidden_size // num_heads
        generation = _generation_fields(path, config.generation_config)
        return ModelShape(
            architecture=architecture,
            hidden_size=hidden_size,
            intermediate_size=_count(fields, "intermediate_size", source),
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=_count(fields, "head_dim", source, default=default_head_dim),
            vocab_size=_count(fields, "vocab_size", source),
            max_position_embeddings=_count(fields, "max_position_embeddings", source),
            rms_norm_eps=float(fields.get("rms_norm_eps", 1e-6)),
            rope=RopeShape.read(fields, source),
            layer_windows=_layer_windows(fields, architecture, num_layers, source),
            attention_bias=bool(fields.get("attention_bias", False)),
            mlp_bias=bool(fields.get("mlp_bias", False)),
            tie_embeddings=bool(fields.get("tie_word_embeddings", False)),
            torch_dtype=_dtype(fields, source),
            bos_token_id=fields.get("bos_token_id"),
            eos_token_ids=_eos(fields, generation),
        )


def _read_json(file: Path) -> dict[str, Any]:
    if not file.parent.is_dir():
        raise CheckpointError(
            f"model folder {str(file.parent)!r} does not exist; check the path, or that its volume is mounted."
        )
    try:
        fields = json.loads(file.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{str(file.parent)!r} holds no {file.name}; a Hugging Face checkpoint folder is expected."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read as JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise CheckpointError(f"{file}: expected a JSON object, found {type(fields).__name__}.")
    return fields


def _architecture(fields: Mapping[str, Any], source: str) -> str:
    names = fields.get("architectures") or []
    if not names or not isinstance(names, list) or not isinstance(names[0], str):
        raise CheckpointError(f"{source}: architectures is {names!r}; it must name the model's class.")
    check_supported(names[0], source)
    return names[0]


def _refuse_unsupported(fields: Mapping[str, Any], source: str) -> None:
    activation = fields.get("hidden_act", "silu")
    if activation != "silu":
        raise CheckpointError(f"{source}: hidden_act {activation!r} is not supported; only 'silu' is.")
    quantization = fields.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
        raise CheckpointError(
            f"{source}: quantization_config {method!r} is not supported yet; use the unquantized checkpoint."
        )


def _count(fields: Mapping[str, Any], name: str, source: str, default: int | None = None) -> int:
    value = fields.get(name)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{source}: {name} is {value!r}; expected a whole number of at least 1.")
    return value


def _dtype(fields: Mapping[str, Any], source: str) -> str:
    """`dtype` since transformers 5, `torch_dtype` before; without either a checkpoint is float32."""
    name = fields.get("dtype") or fields.get("torch_dtype") or "float32"
    if name not in ("float32", "bfloat16", "float16"):
        raise CheckpointError(f"{source}: dtype {name!r} is not supported; use float32, bfloat16 or float16.")
    return str(name)


def _layer_windows(
    fields: Mapping[str, Any], architecture: str, num_layers: int, source: str
) -> tuple[int | None, ...]:
    """Llama has no window; Mistral's covers every layer; Qwen's is off unless `use_sliding_window`."""
    window = fields.get("sliding_window")
    if architecture == "LlamaForCausalLM" or window is None:
        return (None,) * num_layers
    window = _count(fields, "sliding_window", source)
    if architecture == "MistralForCausalLM":
        return (window,) * num_layers
    if not fields.get("use_sliding_window", False):
        return (None,) * num_layers
    first = fields.get("max_window_layers", 28)
    types = fields.get("layer_types") or [
        "sliding_attention" if i >= first else "full_attention" for i in range(num_layers)
    ]
    if len(types) != num_layers:
        raise CheckpointError(f"{source}: layer_types has {len(types)} entries for {num_layers} layers.")
    return tuple(window if kind == "sliding_attention" else None for kind in types)


def _generation_fields(path: Path, location: str | None) -> dict[str, Any]:
    """EOS ids come from the model's own file unless another folder is given; 'auto' and 'vllm' are the model's."""
    folder = path if location in (None, "auto", "vllm") else Path(str(location))
    file = folder / "generation_config.json"
    if file.exists():
        return _read_json(file)
    if folder is not path:
        raise CheckpointError(f"generation_config {location!r}: there is no {file}.")
    return {}


def _eos(*sources: Mapping[str, Any]) -> tuple[int, ...]:
    ids: dict[int, None] = {}
    for fields in sources:
        value = fields.get("eos_token_id")
        ids.update(dict.fromkeys(value if isinstance(value, list) else [] if value is None else [value]))
    return tuple(ids)
