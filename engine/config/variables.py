"""Every environment variable of the dialect, under our prefix: what it does and whether it does it yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from paddock.engine.config.argument import State
from paddock.engine.config.catalogue import by_path

PREFIX = "PADDOCK_"

Form = Literal["bool", "int", "float", "str", "path", "list"]
Default = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable; `suffix` is what the dialect writes after its own prefix."""

    suffix: str
    form: Form
    default: Default
    effect: str
    own_state: State = State.NOT_YET
    reason: str = ""
    field: tuple[str, str] | None = None
    """The argument that the variable supplies."""

    secret: bool = False

    @property
    def name(self) -> str:
        """The name in the environment."""
        return PREFIX + self.suffix

    @property
    def state(self) -> State:
        """The state; a variable that supplies an argument works as far as that does."""
        if self.field is None or self.own_state is State.DEPRECATED:
            return self.own_state
        return by_path()[self.field].argument.state


_WORKS = State.WORKS
_OLD_ENGINE = "there is one engine"
_FOREIGN = "it tunes a library that this engine does not use"
_BUILD = "nothing is compiled this way here"
_PLATFORM = "this engine serves NVIDIA GPUs and CPUs"
_TEST = "it is a switch of another project's tests"
_RAY = "workers are not started through Ray"
_DP_SIZE = ("parallel", "data_parallel_size")


def _refused(suffix: str, form: Form, default: Default, reason: str) -> Variable:
    return Variable(suffix, form, default, "Refused when set to anything else.", State.REFUSED, reason)


VARIABLES: tuple[Variable, ...] = (
    Variable("API_KEY", "str", None, "API key when --api-key is not given.",
             field=("frontend", "api_key"), secret=True),
    Variable("LOGGING_CONFIG_PATH", "path", None, "JSON logging configuration when --log-config-file is not given.",
             field=("frontend", "log_config_file")),
    Variable("DP_SIZE", "int", 1, "Data-parallel ranks when --data-parallel-size is not given.", field=_DP_SIZE),
    Variable("DP_RANK", "int", 0, "Data-parallel rank when --data-parallel-rank is not given.",
             field=("parallel", "data_parallel_rank")),
    Variable("DP_MASTER_IP", "str", "127.0.0.1", "Address of data-parallel rank 0.",
             field=("parallel", "data_parallel_address")),
    Variable("DP_MASTER_PORT", "int", 0, "Port at which data-parallel rank 0 listens for the others.",
             field=("parallel", "data_parallel_rpc_port")),
    Variable("MM_INPUT_CACHE_GIB", "float", 4.0, "Old form of --mm-processor-cache-gb.", State.DEPRECATED,
             field=("multimodal", "mm_processor_cache_gb")),
    Variable("NO_DEPRECATION_WARNING", "bool", False, "Deprecated arguments are translated without a warning.", _WORKS),
    Variable("STEP_TIMEOUT_SECONDS", "float", 300.0, "Seconds after which one engine step counts as hung.", _WORKS),
    Variable("DRAIN_TIMEOUT_SECONDS", "float", 300.0, "Seconds that running requests get when the server stops.", _WORKS),
    Variable("GROUP_SECRET", "str", None, "Lets the nodes of one engine (--nnodes) into its group; the same on each.",
             _WORKS, secret=True),
    Variable("CPU_KERNELS", "str", None, "Chooses the CPU kernels by hand.", _WORKS),
    Variable("CACHE", "path", None, "Folder of what the project builds and caches.", _WORKS),
    Variable("DO_NOT_TRACK", "bool", False, "No usage data is sent; none ever is.", _WORKS),
    Variable("NO_USAGE_STATS", "bool", False, "No usage data is sent; none ever is.", _WORKS),
    Variable("ALLOW_LONG_MAX_MODEL_LEN", "bool", False, "--max-model-len may exceed what the model declares.", _WORKS),
    Variable("ALLOW_RUNTIME_LORA_UPDATING", "bool", False, "Adapters may be loaded and unloaded through the API.",
             _WORKS),
    Variable("ADAPTERS_FILE", "path", None, "File that lists adapters, as the operator keeps it: what it names is served, read "
             "again whenever it changes.", _WORKS),
    Variable("ATTENTION_BACKEND", "str", None, "Forces one attention implementation.",
             reason="it is chosen by the device"),
    Variable("AUDIO_FETCH_TIMEOUT", "int", 10, "Seconds to fetch an audio URL."),
    Variable("CACHE_ROOT", "path", None, "Folder for what is computed once: arrays of --load-format npcache.", _WORKS),
    Variable("CONFIGURE_LOGGING", "bool", True, "Off leaves Python logging as it is.", _WORKS),
    Variable("CPU_KVCACHE_SPACE", "int", 4, "GiB of KV cache on a CPU.", reason="use --kv-cache-memory-bytes"),
    Variable("CPU_OMP_THREADS_BIND", "str", "auto", "CPU cores for the compute threads."),
    Variable("CUDART_SO_PATH", "path", None, "Where the CUDA runtime library is."),
    Variable("ENGINE_ITERATION_TIMEOUT_S", "int", 60, "Seconds after which one engine step counts as hung.",
             reason="use PADDOCK_STEP_TIMEOUT_SECONDS"),
    Variable("FUSED_MOE_CHUNK_SIZE", "int", 32768, "Tokens per chunk in the fused MoE layer."),
    Variable("HOST_IP", "str", "", "Address that this node announces to its peers; never the API's."),
    Variable("IMAGE_FETCH_TIMEOUT", "int", 5, "Seconds to fetch an image URL."),
    Variable("K_SCALE_CONSTANT", "int", 200, "Divisor for computed FP8 key scales."),
    Variable("Q_SCALE_CONSTANT", "int", 200, "Divisor for computed FP8 query scales."),
    Variable("V_SCALE_CONSTANT", "int", 100, "Divisor for computed FP8 value scales."),
    Variable("KEEP_ALIVE_ON_ENGINE_DEATH", "bool", False, "The API process stays up after the engine died.", _WORKS),
    Variable("LOCAL_RANK", "int", 0, "GPU number of this process within its node."),
    Variable("LOGGING_LEVEL", "str", "INFO", "Lowest level that is logged: DEBUG, INFO, WARNING, ERROR, CRITICAL.", _WORKS),
    Variable("LOGGING_PREFIX", "str", "", "Text put before every log line.", _WORKS),
    Variable("LOG_FORMAT", "str", "text", "Form of the log: text, or json for one object per line.", _WORKS),
    Variable("LOG_BATCHSIZE_INTERVAL", "float", -1.0, "Seconds between log lines on how many steps had how many tokens; -1 is without.",
             _WORKS),
    Variable("MLA_DISABLE", "bool", False, "Models with latent attention run with ordinary attention."),
    Variable("NCCL_SO_PATH", "path", None, "Loads this NCCL library instead of the one found."),
    Variable("PLUGINS", "list", None, "Comma-separated plug-ins to load."),
    Variable("PORT", "int", None, "First port for internal communication; never the API's."),
    Variable("PP_LAYER_PARTITION", "str", None, "Layers per pipeline stage, as comma-separated numbers."),
    Variable("RINGBUFFER_WARNING_INTERVAL", "int", 60, "Seconds between warnings that a queue to workers is full."),
    Variable("RPC_BASE_PATH", "path", None, "Folder of the sockets between API server and engine.", _WORKS),
    Variable("RPC_TIMEOUT", "int", 10000, "Milliseconds of silence after which the engine counts as lost.", _WORKS),
    Variable("S3_ACCESS_KEY_ID", "str", None, "Access key for weights in S3.", secret=True),
    Variable("S3_ENDPOINT_URL", "str", None, "Address of an S3-compatible store."),
    Variable("S3_SECRET_ACCESS_KEY", "str", None, "Secret key for weights in S3.", secret=True),
    Variable("SERVER_DEV_MODE", "bool", False, "Opens /server_info, /reset_prefix_cache and /collective_rpc, and what --enable-sleep-mode has.", _WORKS),
    Variable("SKIP_P2P_CHECK", "bool", False, "Trusts the driver about direct copies between GPUs."),
    Variable("TEST_DYNAMO_FULLGRAPH_CAPTURE", "bool", True, "Requires one compiled graph."),
    Variable("TORCH_PROFILER_DIR", "path", None, "Allows profiling and says where traces go."),
    Variable("USE_TRITON_AWQ", "bool", False, "AWQ weights use the Triton kernel."),
    Variable("V1_OUTPUT_PROC_CHUNK_SIZE", "int", 8, "Outputs of an engine that are handled before the event loop gets a turn.",
             _WORKS),
    Variable("VIDEO_FETCH_TIMEOUT", "int", 30, "Seconds to fetch a video URL."),
    Variable("WORKER_MULTIPROC_METHOD", "str", None, "How worker processes start: fork or spawn."),
    Variable("RAY_BUNDLE_INDICES", "str", "", "Places of Ray workers.", reason=_RAY),
    Variable("RAY_PER_WORKER_GPUS", "float", 1.0, "GPUs of one Ray worker.", reason=_RAY),
    Variable("USE_RAY_COMPILED_DAG", "bool", False, "Ray runs a compiled graph.", reason=_RAY),
    Variable("USE_RAY_COMPILED_DAG_NCCL_CHANNEL", "bool", True, "Its channels are NCCL's.", reason=_RAY),
    Variable("USE_RAY_COMPILED_DAG_OVERLAP_COMM", "bool", False, "It overlaps communication.", reason=_RAY),
    Variable("USE_RAY_SPMD_WORKER", "bool", False, "Ray workers run in lockstep.", reason=_RAY),
    _refused("ASSETS_CACHE", "path", None, "no sample assets are ever downloaded"),
    _refused("CONFIG_ROOT", "path", None, "no folder of configuration files is read; name one file with --config"),
    _refused("USE_V1", "bool", True, _OLD_ENGINE),
    _refused("ENABLE_V1_MULTIPROCESSING", "bool", True,
             "only offline use reads it; --disable-frontend-multiprocessing puts server and engine into one process"),
    _refused("LOGITS_PROCESSOR_THREADS", "int", None, _OLD_ENGINE),
    _refused("V0_USE_OUTLINES_CACHE", "bool", False, _OLD_ENGINE),
    _refused("TRACE_FUNCTION", "int", 0, "it is a debugging aid of another code base"),
    _refused("CPU_MOE_PREPACK", "bool", True, _FOREIGN),
    _refused("DISABLED_KERNELS", "list", None, _FOREIGN),
    _refused("ENABLE_MOE_ALIGN_BLOCK_SIZE_TRITON", "bool", False, _FOREIGN),
    _refused("FLASHINFER_FORCE_TENSOR_CORES", "bool", False, _FOREIGN),
    _refused("FLASH_ATTN_VERSION", "int", None, _FOREIGN),
    _refused("MARLIN_USE_ATOMIC_ADD", "bool", False, _FOREIGN),
    _refused("USE_FLASHINFER_SAMPLER", "bool", False, _FOREIGN),
    _refused("USE_MODELSCOPE", "bool", False, "models come from the sources of spec.model.uri"),
    _refused("TARGET_DEVICE", "str", None, _BUILD),
    _refused("USE_PRECOMPILED", "bool", False, _BUILD),
    _refused("TEST_USE_PRECOMPILED_NIGHTLY_WHEEL", "bool", False, _BUILD),
    _refused("OPENVINO_CPU_KV_CACHE_PRECISION", "str", None, _PLATFORM),
    _refused("OPENVINO_DEVICE", "str", "CPU", _PLATFORM),
    _refused("OPENVINO_ENABLE_QUANTIZED_WEIGHTS", "bool", False, _PLATFORM),
    _refused("OPENVINO_KVCACHE_SPACE", "int", 0, _PLATFORM),
    _refused("ROCM_FP8_PADDING", "bool", True, _PLATFORM),
    _refused("TPU_DISABLE_TOPK_TOPP_OPTIMIZATION", "bool", False, _PLATFORM),
    _refused("USE_HPU_CONTIGUOUS_CACHE_FETCH", "bool", True, _PLATFORM),
    _refused("USE_TRITON_FLASH_ATTN", "bool", True, _PLATFORM),
    _refused("XLA_CACHE_PATH", "path", None, _PLATFORM),
    _refused("XLA_CHECK_RECOMPILATION", "bool", False, _PLATFORM),
    _refused("USAGE_SOURCE", "str", None, "no usage data is collected"),
    _refused("USAGE_STATS_SERVER", "str", None, "no usage data is collected"),
    _refused("CI_USE_S3", "bool", False, _TEST),
    _refused("TEST_FORCE_FP8_MARLIN", "bool", False, _TEST),
    _refused("TEST_FORCE_LOAD_FORMAT", "str", None, _TEST),
)  # fmt: skip

STANDARD: Mapping[str, str] = {
    "CUDA_HOME": "Where the CUDA toolkit lies; read by compilers.",
    "CUDA_VISIBLE_DEVICES": "GPUs that this process may use; read by CUDA.",
    "LD_LIBRARY_PATH": "Where shared libraries are searched; read by the loader.",
}
"""Variables without our prefix that other software reads, with their usual effect."""


@cache
def by_name() -> Mapping[str, Variable]:
    """Map every variable's name to it."""
    return {variable.name: variable for variable in VARIABLES}
