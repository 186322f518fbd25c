"""Conditions that span several arguments; each is checked here and, as CEL, by the Kubernetes API server."""

from collections.abc import Mapping
from dataclasses import dataclass

from paddock.engine.config.expression import Scope, Term, is_set, value
from paddock.engine.config.problems import FIELD_REFERENCE

DEFAULT_MAX_NUM_SEQS = 256
DEFAULT_MAX_NUM_BATCHED_TOKENS = 2048
PIPELINE_MAX_NUM_BATCHED_TOKENS = 512
"""With stages: a prompt in one step keeps one of them busy at a time, in several all of them."""

WHEN_UNSET: Mapping[tuple[str, str], object] = {
    ("cache", "block_size"): 16,
    ("cache", "enable_prefix_caching"): True,
    ("scheduler", "enable_chunked_prefill"): True,
    ("scheduler", "max_num_seqs"): DEFAULT_MAX_NUM_SEQS,
}
"""What holds where an argument has no default of its own and nothing sets it."""


def token_budget(asked: int | None, max_num_seqs: int | None, longest_chunk: int, num_stages: int) -> int:
    """Tokens of a step: what is asked for, else as many as every request and one prompt's chunk need."""
    usual = DEFAULT_MAX_NUM_BATCHED_TOKENS if num_stages == 1 else PIPELINE_MAX_NUM_BATCHED_TOKENS
    return asked or max(usual, max_num_seqs or DEFAULT_MAX_NUM_SEQS, longest_chunk)


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition that must hold. The first field that `message` names is the one to blame."""

    message: str
    holds: Term

    @property
    def blamed(self) -> tuple[str, str]:
        """The (group, field) under which the problem is reported."""
        match = FIELD_REFERENCE.search(self.message)
        assert match is not None, "a rule names its field"
        return match[1], match[2]

    @property
    def groups(self) -> frozenset[str]:
        """The groups whose fields the condition reads."""
        return frozenset(group for group, _ in self.holds.fields)

    def cel(self, scope: Scope) -> str:
        """Print the condition for the API server."""
        return self.holds.cel(scope)


_seqs = value("scheduler.max_num_seqs", DEFAULT_MAX_NUM_SEQS)
_tokens = value("scheduler.max_num_batched_tokens", DEFAULT_MAX_NUM_BATCHED_TOKENS, size=True)
_context = value("model.max_model_len", 1, size=True)
_chunked = value("scheduler.enable_chunked_prefill", True)
_convert = value("model.convert", "auto")
_runner = value("model.runner", "auto")
_kv_type = value("cache.kv_cache_dtype", "auto")
_replicas = value("parallel.data_parallel_size", 1)
_shares_experts = value("parallel.enable_expert_parallel", False) & (_replicas >= 2)
_certificate = is_set("frontend.ssl_certfile")

# First what mostly holds, and of a small group: the API server pays by the size of the groups that it reads.
RULES: tuple[Rule, ...] = (
    Rule(
        "{scheduler.max_num_batched_tokens} must be at least {scheduler.max_num_seqs}, since every running "
        f"request may need one token of each step (unset, the latter is {DEFAULT_MAX_NUM_SEQS})",
        ~is_set("scheduler.max_num_batched_tokens") | (_tokens >= _seqs),
    ),
    Rule(
        "{scheduler.max_num_batched_tokens} must be at least {model.max_model_len} while "
        "{scheduler.enable_chunked_prefill} is off, since a whole prompt must then fit into one step",
        _chunked
        | ~is_set("model.max_model_len")
        | ~is_set("scheduler.max_num_batched_tokens")
        | (_tokens >= _context),
    ),
    Rule(
        "{scheduler.max_long_partial_prefills} must be at most {scheduler.max_num_partial_prefills}",
        value("scheduler.max_long_partial_prefills", 1) <= value("scheduler.max_num_partial_prefills", 1),
    ),
    Rule(
        "{scheduler.max_num_partial_prefills} above 1 needs {scheduler.enable_chunked_prefill}",
        _chunked | (value("scheduler.max_num_partial_prefills", 1) <= 1),
    ),
    Rule(
        "{scheduler.long_prefill_token_threshold} needs {scheduler.enable_chunked_prefill}",
        _chunked | value("scheduler.long_prefill_token_threshold", 0).equals(0),
    ),
    Rule(
        "{scheduler.long_prefill_token_threshold} must be at most {model.max_model_len}",
        ~is_set("model.max_model_len") | (value("scheduler.long_prefill_token_threshold", 0) <= _context),
    ),
    Rule(
        "{scheduler.async_scheduling} does not go with {parallel.pipeline_parallel_size} above 1",
        ~value("scheduler.async_scheduling", False) | (value("parallel.pipeline_parallel_size", 1) <= 1),
    ),
    Rule(
        "{model.enable_sleep_mode} does not go with {lora.enable_lora}: adapters would not come back with the weights",
        ~value("lora.enable_lora", False) | ~value("model.enable_sleep_mode", False),
    ),
    Rule(
        "{scheduler.async_scheduling} does not go with {engine.speculative_config}",
        ~value("scheduler.async_scheduling", False) | ~is_set("engine.speculative_config"),
    ),
    Rule(
        "{cache.calculate_kv_scales} needs {cache.kv_cache_dtype} fp8, fp8_e4m3 or fp8_e5m2: no other cache is scaled",
        ~value("cache.calculate_kv_scales", False)
        | _kv_type.equals("fp8")
        | _kv_type.equals("fp8_e4m3")
        | _kv_type.equals("fp8_e5m2"),
    ),
    Rule(
        "{parallel.decode_context_parallel_size} must divide {parallel.tensor_parallel_size}: the KV cache is "
        "split over GPUs of the tensor-parallel group",
        value("parallel.decode_context_parallel_size", 1).equals(1)
        | (
            value("parallel.tensor_parallel_size", 1) % value("parallel.decode_context_parallel_size", 1)
        ).equals(0),
    ),
    Rule(
        "{parallel.data_parallel_rank} must be below {parallel.data_parallel_size}",
        ~is_set("parallel.data_parallel_rank") | (value("parallel.data_parallel_rank", 0) < _replicas),
    ),
    Rule(
        "{parallel.data_parallel_size_local} must be at most {parallel.data_parallel_size}",
        ~is_set("parallel.data_parallel_size_local")
        | (value("parallel.data_parallel_size_local", 1) <= _replicas),
    ),
    Rule(
        "{parallel.data_parallel_size_local} must be 1 or unset when {parallel.data_parallel_rank} names one "
        "replica",
        ~is_set("parallel.data_parallel_rank") | value("parallel.data_parallel_size_local", 1).equals(1),
    ),
    Rule(
        "{parallel.data_parallel_hybrid_lb} needs {parallel.data_parallel_size_local}",
        ~value("parallel.data_parallel_hybrid_lb", False) | is_set("parallel.data_parallel_size_local"),
    ),
    Rule(
        "{service.headless} does not go with {parallel.data_parallel_hybrid_lb}",
        ~value("service.headless", False) | ~value("parallel.data_parallel_hybrid_lb", False),
    ),
    Rule(
        "{parallel.node_rank} must be below {parallel.nnodes}",
        value("parallel.node_rank", 0).equals(0)
        | (value("parallel.node_rank", 0) < value("parallel.nnodes", 1)),
    ),
    Rule(
        "{parallel.expert_placement_strategy} round_robin needs {parallel.enable_expert_parallel}",
        value("parallel.expert_placement_strategy", "linear").equals("linear")
        | value("parallel.enable_expert_parallel", False),
    ),
    Rule(
        "{model.enable_sleep_mode} does not go with {parallel.enable_expert_parallel} over several replicas: one that "
        "sleeps could not compute the others' tokens",
        ~_shares_experts | ~value("model.enable_sleep_mode", False),
    ),
    Rule(
        "{cache.cpu_offload_gb} does not go with {parallel.enable_expert_parallel} over several replicas: for the others' "
        "tokens a replica runs the experts alone, and weights are brought for whole layers",
        (value("cache.cpu_offload_gb", 0.0) <= 0.0) | ~_shares_experts,
    ),
    Rule(
        "{parallel.enable_eplb} needs {parallel.enable_expert_parallel}",
        ~value("parallel.enable_eplb", False) | value("parallel.enable_expert_parallel", False),
    ),
    Rule(
        "{parallel.ray_workers_use_nsight} needs {parallel.distributed_executor_backend} ray",
        ~value("parallel.ray_workers_use_nsight", False)
        | value("parallel.distributed_executor_backend", "").equals("ray"),
    ),
    Rule(
        "{model.code_revision} needs {model.trust_remote_code}",
        ~is_set("model.code_revision") | value("model.trust_remote_code", False),
    ),
    Rule(
        "{model.convert} needs {model.runner} pooling or auto",
        _convert.equals("auto")
        | _convert.equals("none")
        | _runner.equals("auto")
        | _runner.equals("pooling"),
    ),
    Rule(
        "{frontend.enable_auto_tool_choice} needs {frontend.tool_call_parser}",
        ~value("frontend.enable_auto_tool_choice", False) | is_set("frontend.tool_call_parser"),
    ),
    Rule(
        "{frontend.enable_log_outputs} needs {service.enable_log_requests}",
        ~value("frontend.enable_log_outputs", False) | value("service.enable_log_requests", False),
    ),
    Rule(
        "{frontend.ssl_keyfile} needs {frontend.ssl_certfile}", ~is_set("frontend.ssl_keyfile") | _certificate
    ),
    Rule(
        "{frontend.ssl_ca_certs} needs {frontend.ssl_certfile}",
        ~is_set("frontend.ssl_ca_certs") | _certificate,
    ),
    Rule(
        "{frontend.ssl_ca_certs} needs {frontend.ssl_cert_reqs} 1 or 2, since at 0 no client is asked for a "
        "certificate",
        ~is_set("frontend.ssl_ca_certs") | ~value("frontend.ssl_cert_reqs", 0).equals(0),
    ),
    Rule(
        "{frontend.ssl_cert_reqs} above 0 needs {frontend.ssl_ca_certs}, which the certificates of clients are "
        "checked against",
        value("frontend.ssl_cert_reqs", 0).equals(0) | is_set("frontend.ssl_ca_certs"),
    ),
    Rule(
        "{frontend.enable_ssl_refresh} needs {frontend.ssl_certfile}",
        ~value("frontend.enable_ssl_refresh", False) | _certificate,
    ),
    Rule(
        "{frontend.disable_frontend_multiprocessing} needs {service.api_server_count} 1",
        value("service.api_server_count", 1).equals(1)
        | ~value("frontend.disable_frontend_multiprocessing", False),
    ),
    Rule(
        "{service.headless} needs {service.api_server_count} 1",
        ~value("service.headless", False) | value("service.api_server_count", 1).equals(1),
    ),
    Rule(
        "{frontend.lora_modules} needs {lora.enable_lora}",
        ~is_set("frontend.lora_modules") | value("lora.enable_lora", False),
    ),
    Rule(
        "{lora.max_cpu_loras} must be at least {lora.max_loras}",
        ~is_set("lora.max_cpu_loras") | (value("lora.max_cpu_loras", 1) >= value("lora.max_loras", 1)),
    ),
    Rule(
        "{multimodal.mm_shm_cache_max_object_size_mb} needs {multimodal.mm_processor_cache_type} shm",
        value("multimodal.mm_shm_cache_max_object_size_mb", 128).equals(128)
        | value("multimodal.mm_processor_cache_type", "lru").equals("shm"),
    ),
    Rule(
        "{observability.collect_detailed_traces} needs {observability.otlp_traces_endpoint}",
        ~is_set("observability.collect_detailed_traces") | is_set("observability.otlp_traces_endpoint"),
    ),
)
