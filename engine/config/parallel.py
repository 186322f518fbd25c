"""How the model is spread over devices and nodes."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.structures import EplbConfig
from paddock.engine.config.successors import key_of, when_true
from paddock.engine.config.values import Text, Whole

_MEETING = "the operator gives every pod the address of its replica's first one"
_NUMBERED = (
    "the operator numbers the engines of the pods; dataParallelHybridLb with dataParallelSizeLocal 1 gives each a pod "
    "and an API of its own, which the Service balances"
)


class ParallelConfig(Group):
    """How the model is spread over devices and nodes."""

    data_parallel_address: Text | None = arg(
        None,
        "Address of the node that others join: which serves the API for their replicas, or has replica 0 where nodes with "
        "APIs of their own share experts. It listens there and nowhere else; every node needs the same text in "
        "PADDOCK_GROUP_SECRET.",
        state=State.WORKS,
        aliases=("-dpa",),
        cluster_reason=_MEETING,
    )

    data_parallel_backend: Literal["mp", "ray"] = arg(
        "mp",
        "Starts replicas as local processes or through Ray.",
        state=State.WORKS,
        refused_values={"ray": "replicas are started as processes, on other nodes by --headless; use mp"},
        aliases=("-dpb",),
    )

    data_parallel_hybrid_lb: bool = arg(
        False,
        "Each node serves and balances its own replicas; an outside balancer spreads over nodes.",
        state=State.WORKS,
    )

    data_parallel_rank: Whole | None = arg(
        None,
        "This instance is exactly that replica, and balancing is left to the outside.",
        state=State.WORKS,
        ge=0,
        aliases=("-dpn",),
        cluster_reason=_NUMBERED,
    )

    data_parallel_rpc_port: int | None = arg(
        None,
        "Port at data-parallel-address where the nodes of replicas join; unset, 29550.",
        state=State.WORKS,
        ge=0,
        le=65535,
        aliases=("-dpp",),
        cluster_refused={0: "the other pods could not find it; give one from 1 to 65535"},
    )

    data_parallel_size: Whole = arg(
        1,
        "This many full engine replicas serve behind one endpoint, each with the whole model, or with "
        "enable-expert-parallel its share of the experts; a request goes to the one with the least to do.",
        state=State.WORKS,
        ge=1,
        aliases=("-dp",),
    )

    data_parallel_size_local: Whole | None = arg(
        None,
        "How many of the replicas run on this node; unset, all from the start rank on. With 0 it serves the API alone.",
        state=State.WORKS,
        ge=0,
        aliases=("-dpl",),
        cluster_refused={0: "every pod of a replica runs the same number of engines; leave it out"},
    )

    data_parallel_start_rank: Whole | None = arg(
        None,
        "First replica number hosted by this secondary node.",
        state=State.WORKS,
        ge=0,
        aliases=("-dpr",),
        cluster_reason=_NUMBERED,
    )

    dbo_decode_token_threshold: Whole = arg(
        32, "Decode-only batches with more tokens than this are split in two.", ge=0
    )

    dbo_prefill_token_threshold: Whole = arg(
        512, "Batches containing prefill with more tokens than this are split in two.", ge=0
    )

    decode_context_parallel_size: Whole = arg(
        1,
        "The KV cache of decoding is split over this many GPUs of the tensor-parallel group.",
        ge=1,
        aliases=("-dcp",),
    )

    disable_custom_all_reduce: bool = arg(
        False,
        "Tensor-parallel sums, and hidden states between pipeline stages, go through NCCL or gloo, also where CPU ranks of "
        "one node would share memory for them.",
        state=State.WORKS,
    )

    distributed_executor_backend: Literal["external_launcher", "mp", "ray", "uni"] | None = arg(
        None,
        "How workers are started: in process, as local processes, through Ray, or by an outside launcher. Unset, "
        "one worker runs in process and several as processes.",
        state=State.WORKS,
        supported=("external_launcher", "mp", "uni"),
        cluster_refused={"external_launcher": "the operator itself starts the ranks of a replica"},
    )

    enable_dbo: bool = arg(False, "Each batch is cut in two halves whose compute and communication overlap.")

    enable_eplb: bool = arg(False, "Experts are moved between GPUs at run time to even out their load.")

    enable_expert_parallel: bool = arg(
        False,
        "Experts of MoE layers are placed whole on the tensor-parallel ranks, of all replicas where there are several, instead "
        "of being sliced over them.",
        state=State.WORKS,
    )

    enable_multimodal_encoder_data_parallel: bool | None = arg(
        None,
        "Old form of mm-encoder-tp-mode data.",
        state=State.DEPRECATED,
        successor=when_true("multimodal.mm_encoder_tp_mode", "data"),
    )

    eplb_config: EplbConfig = arg(
        EplbConfig(),
        "Sets how expert balancing measures, how often it moves experts and how many spare copies it keeps.",
    )

    eplb_log_balancedness: bool | None = arg(
        None,
        "Logs the evenness of expert load each step, at a communication cost.",
        state=State.DEPRECATED,
        successor=key_of("parallel.eplb_config", "log_balancedness"),
    )

    eplb_step_interval: Whole | None = arg(
        None,
        "Rearranges experts every so many steps.",
        state=State.DEPRECATED,
        successor=key_of("parallel.eplb_config", "step_interval"),
    )

    eplb_window_size: Whole | None = arg(
        None,
        "Measures expert load over this many steps.",
        state=State.DEPRECATED,
        successor=key_of("parallel.eplb_config", "window_size"),
    )

    expert_placement_strategy: Literal["linear", "round_robin"] = arg(
        "linear",
        "With enable-expert-parallel, gives each rank a contiguous run of experts (linear) or deals them out in turn "
        "(round_robin).",
        state=State.WORKS,
    )

    max_parallel_loading_workers: Whole | None = arg(
        None,
        "At most this many workers of a node load weights at once, which limits host memory.",
        state=State.WORKS,
        ge=1,
    )

    master_addr: Text | None = arg(
        None,
        "Address of the node with node-rank 0, which leads the others. It listens there and nowhere else; every node "
        "needs the same text in PADDOCK_GROUP_SECRET.",
        state=State.WORKS,
        cluster_reason=_MEETING,
    )

    master_port: Whole = arg(
        29501,
        "Port at master-addr where the nodes of one engine join its leader.",
        state=State.WORKS,
        ge=1,
        le=65535,
    )

    nnodes: Whole = arg(
        1,
        "Nodes that the ranks (tensor times pipeline parallel size) are spread over evenly.",
        state=State.WORKS,
        ge=1,
        cluster_reason="spec.nodes says how many pods a replica has",
    )

    node_rank: Whole = arg(
        0,
        "Number of this node, from 0: the leader, which serves the API. The others are started with --headless.",
        state=State.WORKS,
        ge=0,
        cluster_reason="the operator numbers the pods of a replica",
    )

    num_redundant_experts: Whole | None = arg(
        None,
        "Keeps this many spare expert copies for balancing.",
        state=State.DEPRECATED,
        successor=key_of("parallel.eplb_config", "num_redundant_experts"),
    )

    pipeline_parallel_size: Whole = arg(
        1,
        "Consecutive stages, on different GPUs, that the layers are split into.",
        state=State.WORKS,
        ge=1,
        aliases=("-pp",),
    )

    ray_workers_use_nsight: bool = arg(False, "Ray workers run under the Nsight profiler.")

    tensor_parallel_size: Whole = arg(
        1,
        "GPUs that every layer is split over; must divide the model's attention heads.",
        state=State.WORKS,
        ge=1,
        aliases=("-tp",),
    )

    worker_cls: Text = arg(
        "auto",
        "Dotted path of the class that holds a device's share of the model and runs its steps, a "
        "paddock.engine.worker.worker.Worker; auto is the engine's own.",
        state=State.WORKS,
    )

    worker_extension_cls: Text = arg(
        "",
        "Dotted path of a class mixed into the worker, so that its public methods can be called on all workers: by "
        "/collective_rpc, which PADDOCK_SERVER_DEV_MODE opens.",
        state=State.WORKS,
    )
