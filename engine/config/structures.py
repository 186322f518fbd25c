"""The JSON-valued arguments whose keys are known: one class each, keys as on the command line."""

from typing import Annotated, Any, Literal, cast

from annotated_types import MaxLen
from pydantic import ConfigDict, Field, Strict, model_validator

from paddock.engine.config.argument import EXTRA_KEY, KeyLimit, Structure
from paddock.engine.config.values import (
    MAX_ITEMS,
    BatchSizes,
    Floats,
    JsonObject,
    Name,
    Size,
    Strings,
    Text,
    Whole,
    Wholes,
)


def key(default: Any, description: str, limit: KeyLimit | None = None, **bounds: Any) -> Any:
    """Declare one key of a JSON argument."""
    extra = None if limit is None else cast(Any, {EXTRA_KEY: limit})
    return Field(default=default, description=description, json_schema_extra=extra, **bounds)


class GenerationDefaults(Structure):
    """Sampling values that apply when a request leaves them out."""

    temperature: float | None = key(None, "Randomness of sampling; 0 is greedy.", ge=0)
    top_p: float | None = key(None, "Sample from the likeliest tokens that add up to this share.", gt=0, le=1)
    top_k: Whole | None = key(None, "Sample from this many likeliest tokens; 0 or -1 keeps all.", ge=-1)
    min_p: float | None = key(None, "Drop tokens below this share of the top probability.", ge=0, le=1)
    repetition_penalty: float | None = key(None, "Above 1 discourages tokens already seen.", gt=0)
    max_new_tokens: Whole | None = key(None, "Caps the output of every request.", ge=1)


class RopeScaling(Structure):
    """Rotary position scaling, with the keys of a checkpoint's own configuration."""

    rope_type: Text | None = key(None, "Kind of scaling, e.g. yarn, linear, dynamic, llama3, longrope.")
    type: Text | None = key(None, "Older spelling of the kind.")
    factor: float | None = key(None, "How many times longer the context becomes.", gt=0)
    rope_theta: float | None = key(None, "Base of the rotary frequencies.", gt=0)
    original_max_position_embeddings: Whole | None = key(None, "Context length before scaling.", ge=1)
    attention_factor: float | None = key(None, "Scale of the attention logits.", gt=0)
    beta_fast: float | None = key(None, "YaRN: where extrapolation ends.", gt=0)
    beta_slow: float | None = key(None, "YaRN: where interpolation begins.", gt=0)
    mscale: float | None = key(None, "YaRN: magnitude scale.", ge=0)
    mscale_all_dim: float | None = key(None, "YaRN: magnitude scale over all dimensions.", ge=0)
    low_freq_factor: float | None = key(None, "Llama 3: bound of the low frequencies.", gt=0)
    high_freq_factor: float | None = key(None, "Llama 3: bound of the high frequencies.", gt=0)
    short_factor: Floats | None = key(None, "LongRoPE: factor per dimension within the original context.")
    long_factor: Floats | None = key(None, "LongRoPE: factor per dimension beyond the original context.")
    mrope_section: Wholes | None = key(None, "Dimensions given to time, height and width.")
    truncate: bool | None = key(None, "YaRN: round the correction range to whole dimensions.")


class PoolerConfig(Structure):
    """How a pooling model reduces hidden states to its output."""

    pooling_type: Literal["ALL", "CLS", "LAST", "MEAN", "STEP"] | None = key(None, "Which states are used.")
    normalize: bool | None = key(None, "Scale embeddings to length 1.")
    dimensions: Whole | None = key(None, "Shorten embeddings to this many values.", ge=1)
    activation: bool | None = key(None, "Apply the classifier's activation to scores.")
    softmax: bool | None = key(None, "Apply softmax to rewards.")
    logit_bias: float | None = key(None, "Subtracted from the logits of classes.")
    enable_chunked_processing: bool | None = key(None, "Embed inputs beyond the context in pieces.")
    max_embed_len: Whole | None = key(None, "Longest input to embed, in tokens.", ge=1)
    step_tag_id: Whole | None = key(None, "Token that marks the end of a step.", ge=0)
    returned_token_ids: Wholes | None = key(None, "Vocabulary entries to return scores for.")


class EplbConfig(Structure):
    """How expert load is measured and balanced."""

    window_size: Whole = key(1000, "Steps over which load is measured.", ge=1)
    step_interval: Whole = key(3000, "Steps between two rearrangements.", ge=1)
    num_redundant_experts: Whole = key(0, "Spare copies of experts.", ge=0)
    log_balancedness: bool = key(False, "Log how even the load is at each step.")


class PassConfig(Structure):
    """Graph rewrites of the compiler."""

    enable_fusion: bool | None = key(None, "Fuse normalisation and quantization.")
    enable_attn_fusion: bool | None = key(None, "Fuse attention and quantization.")
    enable_noop: bool | None = key(None, "Remove operations without effect.")
    enable_sequence_parallelism: bool | None = key(None, "Split activations between tensor-parallel ranks.")
    enable_async_tp: bool | None = key(None, "Overlap tensor-parallel sums with computation.")


COMPILED = "torch.compile is not used: the kernels are fused by hand, and CUDA graphs launch them"
NOTHING_TO_COMPILE = KeyLimit((), COMPILED)
DECODES_WHOLE = "steps that only decode are captured whole, and all others run eagerly"


class CompilationConfig(Structure):
    """How far the model is compiled and which CUDA graphs are captured."""

    level: int | None = key(
        None, "0 does nothing, 3 is for production.", KeyLimit((0,), COMPILED), ge=0, le=3
    )
    backend: Text | None = key(None, "Compiler back end.", NOTHING_TO_COMPILE)
    use_inductor: bool | None = key(None, "Compile with Inductor.", KeyLimit((False,), COMPILED))
    custom_ops: Strings | None = key(
        None, "Custom operations to switch on (+name) or off (-name).", NOTHING_TO_COMPILE
    )
    splitting_ops: Strings | None = key(
        None, "Operations at which the graph is cut into pieces.", NOTHING_TO_COMPILE
    )
    compile_sizes: Wholes | None = key(None, "Batch sizes compiled on their own.", NOTHING_TO_COMPILE)
    inductor_compile_config: JsonObject | None = key(None, "Settings handed to Inductor.", NOTHING_TO_COMPILE)
    use_cudagraph: bool | None = key(None, "Capture CUDA graphs; false is --enforce-eager.")
    full_cuda_graph: bool | None = key(
        None, "Capture the whole model in one graph.", KeyLimit((True,), DECODES_WHOLE)
    )
    cudagraph_mode: Literal["NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"] | None = (
        key(
            None,
            "Which parts of a step run from captured graphs; FULL_DECODE_ONLY when unset.",
            KeyLimit(("NONE", "FULL_DECODE_ONLY"), DECODES_WHOLE),
        )
    )
    cudagraph_capture_sizes: BatchSizes | None = key(
        None, "Exactly these batch sizes are captured, and no more than --max-num-seqs."
    )
    cudagraph_num_of_warmups: Whole | None = key(
        None, "Runs before a capture, 1 when unset; the first one compiles kernels.", ge=1
    )
    cudagraph_copy_inputs: bool | None = key(
        None, "Copy inputs into static buffers.", KeyLimit((True,), "a step's inputs are always copied")
    )
    max_capture_size: Whole | None = key(None, "Largest batch size to capture.", ge=1)
    cache_dir: Text | None = key(None, "Folder of compiled code.", NOTHING_TO_COMPILE)
    debug_dump_path: Text | None = key(
        None, "Folder for graphs written out for debugging.", NOTHING_TO_COMPILE
    )
    pass_config: PassConfig | None = key(None, "Graph rewrites.", NOTHING_TO_COMPILE)

    @model_validator(mode="before")
    @classmethod
    def _from_level(cls, value: object) -> object:
        return {"level": value} if isinstance(value, int) and not isinstance(value, bool) else value


class KVEventsConfig(Structure):
    """Where KV-cache block events are published."""

    enable_kv_cache_events: bool = key(False, "Publish events.")
    publisher: Text = key("null", "Kind of publisher: null or zmq.")
    endpoint: Text = key("tcp://*:5557", "Address that subscribers connect to.")
    replay_endpoint: Text | None = key(None, "Address that replays missed events.")
    buffer_steps: Whole = key(10000, "Steps kept for replay.", ge=0)
    hwm: Whole = key(100000, "High-water mark of the publisher.", ge=0)
    max_queue_size: Whole = key(100000, "Events waiting to be sent.", ge=1)
    topic: Text = key("", "Topic of the events.")


class KVTransferConfig(Structure):
    """How KV blocks are exchanged with other instances or stores."""

    kv_connector: Text | None = key(None, "Name of the connector.")
    kv_connector_module_path: Text | None = key(None, "Python module that holds the connector.")
    kv_role: Literal["kv_producer", "kv_consumer", "kv_both"] | None = key(None, "What this instance does.")
    engine_id: Text | None = key(None, "Name of this instance among its peers.")
    kv_rank: Whole | None = key(None, "Number of this instance.", ge=0)
    kv_parallel_size: Whole = key(1, "Instances that exchange blocks.", ge=1)
    kv_ip: Text = key("127.0.0.1", "Address of the exchange.")
    kv_port: int = key(14579, "Port of the exchange.", ge=0, le=65535)
    kv_buffer_device: Text = key("cuda", "Device of the transfer buffer.")
    kv_buffer_size: float = key(1e9, "Bytes of the transfer buffer.", gt=0)
    kv_connector_extra_config: JsonObject | None = key(None, "Settings of the connector.")


class SpeculativeConfig(Structure):
    """How draft tokens are proposed and verified."""

    method: Text | None = key(None, "How drafts are made: ngram, eagle, eagle3, medusa, draft_model, mtp.")
    model: Text | None = key(None, "Model that drafts.")
    num_speculative_tokens: Whole | None = key(None, "Tokens drafted before each verification.", ge=1)
    draft_tensor_parallel_size: Whole | None = key(None, "GPUs that share the draft model.", ge=1)
    max_model_len: Size | None = key(None, "Longest sequence to draft for.", ge=1)
    quantization: Text | None = key(None, "Quantization of the draft model.")
    revision: Text | None = key(None, "Revision of the draft model.")
    code_revision: Text | None = key(None, "Revision of the draft model's code.")
    disable_by_batch_size: Whole | None = key(None, "No drafting above this many requests.", ge=1)
    disable_logprobs: bool | None = key(None, "No log-probabilities while drafting.")
    disable_padded_drafter_batch: bool | None = key(None, "Do not pad the draft batch.")
    prompt_lookup_min: Whole | None = key(None, "Shortest n-gram looked up in the prompt.", ge=1)
    prompt_lookup_max: Whole | None = key(None, "Longest n-gram looked up in the prompt.", ge=1)
    speculative_token_tree: Text | None = key(None, "Shape of the draft tree.")
    acceptance_method: Literal["rejection_sampler", "typical_acceptance_sampler"] | None = key(
        None, "How drafts are accepted."
    )
    posterior_threshold: float | None = key(None, "Typical acceptance: lowest target probability.", ge=0)
    posterior_alpha: float | None = key(None, "Typical acceptance: scale of the entropy.", ge=0)
    enforce_eager: bool | None = key(None, "No CUDA graphs for the draft model.")


class StructuredOutputsSettings(Structure):
    """The engine for constrained output and how strict it is."""

    backend: Literal["auto", "guidance", "outlines", "xgrammar", "lm-format-enforcer"] = key(
        "auto", "Which engine compiles schemas, expressions and grammars."
    )
    disable_fallback: bool = key(False, "A constraint the backend cannot express is an error.")
    disable_any_whitespace: bool = key(False, "JSON without free whitespace.")
    disable_additional_properties: bool = key(False, "JSON without keys that the schema does not name.")
    reasoning_parser: Text = key(
        "",
        "Constraints begin where this parser finds the end of the thinking; unset, --reasoning-parser counts.",
    )
    enable_in_reasoning: bool = key(False, "Constraints hold for the model's thinking, too.")


class LoRAModule(Structure):
    """One adapter that is loaded at start."""

    model_config = ConfigDict(protected_namespaces=())

    name: Name = key(..., "Name that requests use.")
    path: Name = key(..., "Where the adapter lies.")
    base_model_name: Text | None = key(None, "Model the adapter was trained for.")

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: object) -> object:
        if isinstance(value, str) and not value.startswith("{") and "=" in value:
            name, _, path = value.partition("=")
            return {"name": name, "path": path}
        return value


LoRAModules = Annotated[tuple[LoRAModule, ...], Strict(False), MaxLen(MAX_ITEMS)]
