"""The shape of a model, read from a checkpoint's config.json and generation_config.json. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.family import Family
from paddock.engine.models.fields import ConfigFields
from paddock.engine.models.generic_shape import FAMILY as GENERIC
from paddock.engine.models.generic_shape import generic_fields
from paddock.engine.models.hf_config import read_json, read_model_config
from paddock.engine.models.quantization import Quantization
from paddock.engine.models.registry import CAUSAL_LM_ENDINGS, NATIVE_FAMILIES, family_of
from paddock.engine.models.remote_code import MODEL, TrustedCode, auto_map, refusal
from paddock.engine.models.rope import RopeShape
from paddock.engine.models.windows import Windows, layer_windows, uncut_context
from paddock.engine.pooling.architectures import pooling_architecture
from paddock.engine.pooling.plan import PoolingPlan

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
    layer_windows: Windows
    attention_bias: bool
    mlp_bias: bool
    tie_embeddings: bool
    torch_dtype: str
    """The checkpoint's own: float32, bfloat16 or float16."""
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
    """Of config.json and generation_config.json together; any of them ends a sequence."""
    activation: str = "silu"
    fields: ConfigFields = field(default_factory=ConfigFields, compare=False, repr=False)
    """The whole configuration, for what only one family asks."""
    native: bool = True
    """Whether the engine's own code runs it, and not transformers'."""

    quantization: Quantization = field(default_factory=Quantization)

    code: TrustedCode | None = field(default=None, compare=False, repr=False)
    """Whose code may run with it; None for nobody's but the engine's and transformers'."""

    uncut_context: int | None = None
    """With `--disable-sliding-window`, the most tokens that no layer's window cuts; else, and without windows, None."""

    pooling: PoolingPlan | None = None
    """What is made of its hidden states; None for a model that generates. `architecture` is then the body's."""

    @property
    def context_length(self) -> int:
        """Tokens that the model can place: its own positions, stretched as its rope scaling says, and not cut."""
        unused = 0 if self.pooling is None else self.pooling.position_offset
        placed = self.rope.context_length(self.max_position_embeddings - unused)
        return placed if self.uncut_context is None else min(placed, self.uncut_context)

    @staticmethod
    def read(path: Path, config: "ModelConfig") -> "ModelShape":
        """Raises `CheckpointError` when `path` is no checkpoint that can be served."""
        fields, source = read_model_config(path, config)
        architecture = _architecture(fields, source)
        pooling = PoolingPlan.read(path, architecture, fields, source, config)
        if pooling is not None:
            architecture = pooling.body
        family = _family(architecture, fields, source, config, pooling)
        stated, native = fields, family is not GENERIC
        fields = family.canonical(fields) if native else generic_fields(fields)
        _refuse_unsupported(fields, family, source)
        quantization = Quantization.read(fields, family, config.quantization, source, native=native)
        hidden_size = _count(fields, "hidden_size", source)
        num_layers = _count(fields, "num_hidden_layers", source)
        num_heads = _count(fields, "num_attention_heads", source)
        num_kv_heads = _count(fields, "num_key_value_heads", source, default=num_heads)
        if num_heads % num_kv_heads:
            raise CheckpointError(
                f"{source}: num_attention_heads {num_heads} is not a multiple of num_key_value_heads {num_kv_heads}."
            )
        generation = _generation_fields(path, config.generation_config)
        windows = layer_windows(fields, family, num_layers, source)
        return ModelShape(
            architecture=architecture,
            hidden_size=hidden_size,
            intermediate_size=_count(fields, "intermediate_size", source, default=4 * hidden_size),
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=_count(fields, "head_dim", source, default=hidden_size // num_heads),
            vocab_size=_count(fields, "vocab_size", source),
            max_position_embeddings=_count(fields, "max_position_embeddings", source),
            rms_norm_eps=float(fields.get("rms_norm_eps", 1e-6)),
            rope=_rope(fields, family, source),
            layer_windows=windows,
            attention_bias=bool(fields.get("attention_bias", False)),
            mlp_bias=bool(fields.get("mlp_bias", False)),
            tie_embeddings=bool(fields.get("tie_word_embeddings", False)),
            torch_dtype=_dtype(fields, source),
            bos_token_id=fields.get("bos_token_id"),
            eos_token_ids=_eos(fields, generation),
            activation=fields.get("hidden_act") or "silu",
            fields=ConfigFields(fields if native else stated, source),
            native=native,
            quantization=quantization,
            code=TrustedCode.given(config),
            uncut_context=uncut_context(windows, stated, native=native, source=source)
            if config.disable_sliding_window
            else None,
            pooling=pooling,
        )


def _architecture(fields: Mapping[str, Any], source: str) -> str:
    names = fields.get("architectures") or []
    if not names or not isinstance(names, list) or not isinstance(names[0], str):
        raise CheckpointError(f"{source}: architectures is {names!r}; it must name the model's class.")
    return names[0]


def _family(
    architecture: str,
    fields: Mapping[str, Any],
    source: str,
    config: "ModelConfig",
    pooling: PoolingPlan | None,
) -> Family:
    """Classes of the model's own repository may have any name; which others transformers has, is seen when loading."""
    known = None if pooling is None else pooling_architecture(architecture)
    if known is not None:
        return known.family
    code = auto_map(fields, source).get(MODEL)
    named_as_usual = architecture in NATIVE_FAMILIES or architecture.endswith(CAUSAL_LM_ENDINGS)
    if code is None or named_as_usual or config.model_impl == "vllm":
        return family_of(architecture, fields, source, config.model_impl)
    if not config.trust_remote_code:
        raise refusal(architecture, code, source)
    return GENERIC


def _rope(fields: Mapping[str, Any], family: Family, source: str) -> RopeShape:
    rope = RopeShape.read(_rope_of_full_layers(fields, source), source)
    if rope.partial_rotary_factor != 1 and not family.partial_rotary:
        raise CheckpointError(
            f"{source}: partial_rotary_factor {rope.partial_rotary_factor:g} is not supported; only 1 is."
        )
    return rope


def _rope_of_full_layers(fields: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """Gemma 3 states a rope for each type of layer; the model's own is that of the layers that see everything."""
    nested = fields.get("rope_parameters")
    if not isinstance(nested, Mapping) or "full_attention" not in nested:
        return fields
    full = nested["full_attention"]
    if not isinstance(full, Mapping):
        raise CheckpointError(f"{source}: rope_parameters.full_attention is {full!r}; expected an object.")
    return {**fields, "rope_parameters": full}


def _refuse_unsupported(fields: Mapping[str, Any], family: Family, source: str) -> None:
    activation = fields.get("hidden_act") or "silu"
    if family.activations and activation not in family.activations:
        raise CheckpointError(
            f"{source}: hidden_act {activation!r} is not supported; use {' or '.join(map(repr, family.activations))}."
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


def _generation_fields(path: Path, location: str | None) -> dict[str, Any]:
    """EOS ids come from the model's own file unless another folder is given; 'auto' and 'vllm' are the model's."""
    folder = path if location in (None, "auto", "vllm") else Path(str(location))
    file = folder / "generation_config.json"
    if file.exists():
        return read_json(file)
    if folder is not path:
        raise CheckpointError(f"generation_config {location!r}: there is no {file}.")
    return {}


def _eos(*sources: Mapping[str, Any]) -> tuple[int, ...]:
    ids: dict[int, None] = {}
    for fields in sources:
        value = fields.get("eos_token_id")
        ids.update(dict.fromkeys(value if isinstance(value, list) else [] if value is None else [value]))
    return tuple(ids)
