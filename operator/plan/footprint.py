"""What a model takes of its devices' memory: by its configuration before it is loaded, as measured after. Pure.

The operator does not open models. Of a configuration it knows what `spec.model.hfOverrides` states and what a pod read in
the model's files before it downloaded them; a replica that serves reports what it holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddock.engine.config import ServeConfig
from paddock.operator.plan.held_codes import PLAIN, Matrix, held_codes
from paddock.operator.plan.survey import Survey
from paddock.operator.resource import InferenceService

_REPORTED = "reported by pod "
_READ = "read in the model's config.json"
_COUNTED = "counted in the headers of the weights, of which the engine may leave some out"
_BYTES = {"float": 4, "float32": 4, "bfloat16": 2, "float16": 2, "half": 2}
_FLOATS = ("F64", "F32", "F16", "BF16")
_STORED_BYTES = {"F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1, "I16": 2, "I32": 4, "I64": 8}
"""Types of safetensors, and what an element of those takes that no --dtype changes."""

_QUERY_NORMS = {"Qwen3ForCausalLM", "Qwen3MoeForCausalLM"}
_QKV_BIASES = {"Qwen2ForCausalLM"}
_ARCHITECTURES = {
    "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", *_QUERY_NORMS, *_QKV_BIASES,
}  # fmt: skip
_NEEDED = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size",
)  # fmt: skip


@dataclass(frozen=True)
class Footprint:
    """Bytes of one engine over all its ranks: of the weights, and of one token in the cache. `basis`: how it is known."""

    weight_bytes: int
    kv_bytes_per_token: int
    basis: str
    tokens: int | None = None
    """That the caches of a replica hold, where it says so itself."""

    @property
    def is_read(self) -> bool:
        """Whether a pod read it in the model's files."""
        return self.basis in (_READ, _COUNTED)

    @property
    def is_bound(self) -> bool:
        """Whether the engine holds just that. Of an unknown architecture it may hold less, and no cache is known."""
        return self.basis != _COUNTED


def stated(config: ServeConfig, *, on_cpus: bool) -> Footprint | None:
    """By the configuration that the spec states; None where it states too little."""
    return _computed(config, config.model.hf_overrides, "spec.model.hfOverrides", on_cpus=on_cpus)


def surveyed(config: ServeConfig, survey: Survey, *, on_cpus: bool) -> Footprint | None:
    """By the model's files. None where neither their configuration nor their headers tell enough."""
    fields = {**survey.config, **config.model.hf_overrides}
    try:
        return _computed(config, fields, _READ, on_cpus=on_cpus) or _counted(config, fields, survey)
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        return None  # a configuration that the server will refuse in its own words


def recalled(plan: Mapping[str, Any], key: str) -> Footprint | None:
    """What a pod read before, as status.plan keeps it."""
    if plan.get("key") != key or plan.get("basis") not in (_READ, _COUNTED):
        return None
    return Footprint(plan["weightBytes"], plan.get("kvBytesPerToken", 0), plan["basis"])


def _counted(config: ServeConfig, fields: Mapping[str, Any], survey: Survey) -> Footprint | None:
    """All weights in the element type that they are loaded in; None where they are rounded, or of an unknown type."""
    size = _element_bytes(config, fields)
    if (
        size is None
        or _shares_experts(config)
        or config.model.quantization
        or fields.get("quantization_config")
        or not survey.elements
    ):
        return None
    widths = _STORED_BYTES | dict.fromkeys(_FLOATS, size)
    if not survey.elements.keys() <= widths.keys():
        return None
    return Footprint(sum(widths[dtype] * count for dtype, count in survey.elements.items()), 0, _COUNTED)


def _computed(
    config: ServeConfig, fields: Mapping[str, Any], basis: str, *, on_cpus: bool
) -> Footprint | None:
    """None where `fields` are too few or the formula is not this one.

    Decoders with rotary positions, grouped query attention and gated feed-forward layers, or experts of them.
    """
    size = _element_bytes(config, fields)
    if size is None or _shares_experts(config) or not _is_covered(fields):
        return None
    codes = held_codes(config, fields, on_cpus=on_cpus, has_experts=_experts(fields) > 0)
    if codes is None:
        return None
    heads, layers = int(fields["num_attention_heads"]), int(fields["num_hidden_layers"])
    kv_heads = int(fields.get("num_key_value_heads") or heads)
    width = int(fields.get("head_dim") or int(fields["hidden_size"]) // heads)
    # Ranks past the number of key-value heads hold copies.
    held = layers * 2 * max(kv_heads, config.parallel.tensor_parallel_size) * width
    element = _BYTES.get(str(config.model.override_attention_dtype), size)
    if config.cache.kv_cache_dtype.startswith("fp8"):
        element = 1
    if config.cache.kv_cache_dtype == "bfloat16":
        element = 2
    weights = _parameters(fields, heads, kv_heads, width) * size
    if codes is not PLAIN:
        head = (int(fields["hidden_size"]), int(fields["vocab_size"]))
        weights -= codes.saved_bytes(layers * _linear_layers(fields, heads, kv_heads, width), head, size)
    return Footprint(weights, held * element, basis)


def _shares_experts(config: ServeConfig) -> bool:
    """An engine then holds a share of the experts, which only its own report tells."""
    return config.parallel.enable_expert_parallel and config.parallel.data_parallel_size > 1


def report_key(config: ServeConfig, service: InferenceService) -> str:
    """Of what the figures depend on: a report made under another key says nothing of this spec."""
    parallel, model = config.parallel, config.model
    given = service.spec.get("model") or {}
    source = given.get("source") or {}
    parts = (
        given.get("uri"), model.dtype, model.quantization, model.hf_overrides,
        config.cache.kv_cache_dtype, parallel.tensor_parallel_size, parallel.pipeline_parallel_size,
        *filter(None, [model.override_attention_dtype, model.revision, source.get("sha256")]),
        *([parallel.data_parallel_size] if _shares_experts(config) else ()),
    )  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def reported(plan: Mapping[str, Any], key: str, revision: str) -> Footprint | None:
    """What a replica reported, as status.plan keeps it; the size of its cache only of the same revision."""
    if plan.get("key") != key or not str(plan.get("basis", "")).startswith(_REPORTED):
        return None
    tokens = plan.get("kvTokensPerReplica") if is_reported(plan, revision) else None
    return Footprint(plan["weightBytes"], plan["kvBytesPerToken"], plan["basis"], tokens)


def basis_of_report(pod: str, revision: str) -> str:
    return f"{_REPORTED}{pod} of revision {revision}"


def is_reported(plan: Mapping[str, Any], revision: str) -> bool:
    """Whether a pod of that revision has said what the plan says."""
    basis = str(plan.get("basis", ""))
    return basis.startswith(_REPORTED) and basis.endswith(f" {revision}")


def _is_covered(fields: Mapping[str, Any]) -> bool:
    architecture = next(iter(fields.get("architectures") or ()), None)
    counts = all(isinstance(fields.get(name), int) and fields[name] > 0 for name in _NEEDED)
    return counts and architecture in _ARCHITECTURES


def _element_bytes(config: ServeConfig, fields: Mapping[str, Any]) -> int | None:
    asked = config.model.dtype
    named = (fields.get("dtype") or fields.get("torch_dtype")) if asked == "auto" else asked
    return _BYTES.get(str(named))


def _parameters(fields: Mapping[str, Any], heads: int, kv_heads: int, width: int) -> int:
    hidden, vocabulary = int(fields["hidden_size"]), int(fields["vocab_size"])
    architecture = fields["architectures"][0]
    attention = 2 * hidden * heads * width + 2 * hidden * kv_heads * width
    if architecture in _QUERY_NORMS:
        attention += 2 * width
    if architecture in _QKV_BIASES or fields.get("attention_bias"):
        attention += (heads + 2 * kv_heads) * width
    layer = attention + 2 * hidden + _feed_forward(fields, hidden)
    embeddings = vocabulary * hidden * (1 if fields.get("tie_word_embeddings") else 2)
    return int(fields["num_hidden_layers"]) * layer + embeddings + hidden


def _linear_layers(fields: Mapping[str, Any], heads: int, kv_heads: int, width: int) -> list[Matrix]:
    """Of one decoder layer, but for experts: those are plain numbers always."""
    hidden, size = int(fields["hidden_size"]), int(fields["intermediate_size"])
    attention = [(hidden, (heads + 2 * kv_heads) * width), (heads * width, hidden)]
    return attention if _experts(fields) else [*attention, (hidden, 2 * size), (size, hidden)]


def _experts(fields: Mapping[str, Any]) -> int:
    return int(fields.get("num_local_experts") or fields.get("num_experts") or 0)


def _feed_forward(fields: Mapping[str, Any], hidden: int) -> int:
    """Three matrices, or so many experts of them and a router."""
    experts = _experts(fields)
    if not experts:
        return 3 * hidden * int(fields["intermediate_size"])
    size = int(fields.get("moe_intermediate_size") or fields["intermediate_size"])
    return experts * (3 * hidden * size + hidden)
