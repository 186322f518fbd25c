"""Flags that older releases of the dialect had: translated where something replaces them, else refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from paddock.engine.config.argument import Successor
from paddock.engine.config.kinds import Base
from paddock.engine.config.naming import flag_of
from paddock.engine.config.successors import Path, key_of, when_true


@dataclass(frozen=True, slots=True)
class Removed:
    """An old flag. Exactly one of `successor` and `reason` says what becomes of it."""

    name: str
    base: Base
    successor: Successor | None = None
    reason: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The long flag."""
        return flag_of(self.name)


def _draft(key: str) -> Successor:
    return key_of("engine.speculative_config", key)


def _reasoning() -> Successor:
    # The switch says nothing that --reasoning-parser does not say, so it only reminds of it.
    def translate(value: object) -> dict[Path, object] | None:
        return {} if isinstance(value, bool) else None

    return Successor("--reasoning-parser alone", translate)


PROMPT_ADAPTERS = "prompt adapters are not served; fine-tuned behaviour comes as a LoRA adapter"
TOKENIZER_POOL = "the API server tokenizes by itself; more of it comes with --api-server-count"
MEDIA_SHAPE = "the shape of media inputs is read from the model"
ONE_STEP = "every step is scheduled by itself, which lets requests join and leave at once"
CAPTURE = "graphs are captured by batch size, not by sequence length; see --cuda-graph-sizes"

REMOVED: tuple[Removed, ...] = (
    Removed("use_v2_block_manager", "bool", reason="there is one block manager; drop the flag"),
    Removed("disable_logprobs_during_spec_decoding", "bool", _draft("disable_logprobs")),
    Removed("ngram_prompt_lookup_max", "int", _draft("prompt_lookup_max")),
    Removed("ngram_prompt_lookup_min", "int", _draft("prompt_lookup_min")),
    Removed("num_speculative_tokens", "int", _draft("num_speculative_tokens")),
    Removed("spec_decoding_acceptance_method", "str", _draft("acceptance_method")),
    Removed("speculative_disable_by_batch_size", "int", _draft("disable_by_batch_size")),
    Removed(
        "speculative_disable_by_sequence_length",
        "bool",
        reason="it was a slip for --speculative-disable-by-batch-size; set --speculative-config.disable_by_batch_size",
    ),
    Removed(
        "speculative_draft_tensor_parallel_size",
        "int",
        _draft("draft_tensor_parallel_size"),
        aliases=("-spec-draft-tp",),
    ),
    Removed("speculative_max_model_len", "int", _draft("max_model_len")),
    Removed("speculative_model", "str", _draft("model")),
    Removed("speculative_model_quantization", "str", _draft("quantization")),
    Removed("typical_acceptance_sampler_posterior_alpha", "float", _draft("posterior_alpha")),
    Removed("typical_acceptance_sampler_posterior_threshold", "float", _draft("posterior_threshold")),
    Removed("prompt_adapters", "list", reason=PROMPT_ADAPTERS),
    Removed("qlora_adapter_name_or_path", "str", reason="it had no effect any more; use --lora-modules"),
    Removed("long_lora_scaling_factors", "list", reason="every adapter brings its own scaling"),
    Removed("max_prompt_adapter_token", "int", reason=PROMPT_ADAPTERS),
    Removed("max_prompt_adapters", "int", reason=PROMPT_ADAPTERS),
    Removed(
        "device", "str", reason="the device is detected; hide GPUs with CUDA_VISIBLE_DEVICES to use the CPU"
    ),
    Removed(
        "disable_async_output_proc",
        "bool",
        reason="output is always handled beside the engine; drop the flag",
    ),
    Removed("max_context_len_to_capture", "int", reason=CAPTURE),
    Removed("max_seq_len_to_capture", "int", reason=CAPTURE),
    Removed("override_neuron_config", "json", reason="AWS Neuron devices are not served by this engine"),
    Removed(
        "quantization_param_path",
        "str",
        reason="KV-cache scales come from the checkpoint or are measured with --calculate-kv-scales",
    ),
    Removed("tokenizer_pool_extra_config", "json", reason=TOKENIZER_POOL),
    Removed("tokenizer_pool_size", "int", reason=TOKENIZER_POOL),
    Removed("tokenizer_pool_type", "str", reason=TOKENIZER_POOL),
    Removed("image_feature_size", "int", reason=MEDIA_SHAPE),
    Removed("image_input_shape", "str", reason=MEDIA_SHAPE),
    Removed("image_input_type", "str", reason=MEDIA_SHAPE),
    Removed("image_token_id", "int", reason=MEDIA_SHAPE),
    Removed("reorder_layers", "bool", reason="no release of the dialect is known to have it; drop the flag"),
    Removed("worker_use_ray", "bool", when_true("parallel.distributed_executor_backend", "ray")),
    Removed("max_paddings", "int", reason="batches hold no padding; drop the flag"),
    Removed("multi_step_stream_outputs", "bool", reason=ONE_STEP),
    Removed("num_scheduler_steps", "int", reason=ONE_STEP),
    Removed(
        "preemption_mode",
        "str",
        reason="--swap-space decides: preempted requests are swapped as far as there is room in it, and else computed "
        "again; drop the flag",
    ),
    Removed("scheduler_delay_factor", "float", reason="prompts join the next step; there is no delay to set"),
    Removed("enable_reasoning", "bool", _reasoning()),
    Removed("enable_prompt_adapter", "bool", reason=PROMPT_ADAPTERS),
)


@cache
def removed_by_flag() -> Mapping[str, Removed]:
    """Map every long flag and alias to its removed argument."""
    return {flag: each for each in REMOVED for flag in (each.flag, *each.aliases)}
