"""Which model is served and how it is computed."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.structures import GenerationDefaults, PoolerConfig, RopeScaling
from paddock.engine.config.successors import same_as, task_successor
from paddock.engine.config.values import JsonObject, Name, Seed, Size, Strings, Text, Whole


class ModelConfig(Group):
    """Which model is served and how it is computed."""

    allowed_local_media_path: Text = arg(
        "", "Requests may reference media files under this server directory; empty forbids file URLs."
    )

    allowed_media_domains: Strings | None = arg(None, "Media URLs outside these domains are refused.")

    code_revision: Text | None = arg(
        None,
        "Takes the Python code of the model from this branch, tag or commit of its repository, or of the one that "
        "auto_map names.",
        state=State.WORKS,
    )

    config_format: Literal["auto", "hf", "mistral"] = arg(
        "auto",
        "Which file layout the model configuration is read from: config.json (hf) or params.json (mistral); auto "
        "takes config.json where there is one.",
        state=State.WORKS,
    )

    convert: Literal["auto", "classify", "embed", "none", "reward"] = arg(
        "auto",
        "Wraps a generation model so that it embeds, classifies or scores instead. reward scores each token; auto "
        "goes by the architecture, none leaves the model as it is.",
        state=State.WORKS,
    )

    disable_cascade_attn: bool = arg(
        False,
        "The shared-prefix cascade attention shortcut is never taken; results stay mathematically equal.",
    )

    disable_sliding_window: bool = arg(
        False,
        "The context of a sliding-window model ends with its smallest window, within which every layer's attention is "
        "ordinary.",
        state=State.WORKS,
    )

    dtype: Literal["auto", "bfloat16", "float", "float16", "float32", "half"] = arg(
        "auto",
        "Precision of the computation. auto keeps bfloat16 models as they are and picks what the device "
        "computes well for the rest; half is float16, float is float32.",
        state=State.WORKS,
    )

    enable_prompt_embeds: bool = arg(
        False,
        "Requests may pass ready-made embeddings as prompt_embeds; graph compilation takes about twice "
        "as long.",
    )

    enable_sleep_mode: bool = arg(
        False,
        "The engine can be told to give its memory back and to wake up later: by /sleep, /wake_up and /is_sleeping, "
        "which PADDOCK_SERVER_DEV_MODE opens. Level 1 gives the KV cache back, and on a GPU the weights, too; level 2 "
        "gives both back anywhere. Weights come from their files again.",
        state=State.WORKS,
    )

    enforce_eager: bool = arg(
        False,
        "No CUDA graphs are captured: every step runs the model eagerly, slower but with less memory and a faster start. A "
        "CPU always does.",
        state=State.WORKS,
    )

    generation_config: Text = arg(
        "auto",
        "Where default sampling values come from: auto reads the model's generation_config.json, vllm "
        "uses the API's own defaults, anything else is a folder to read.",
        state=State.WORKS,
    )

    hf_config_path: Text | None = arg(
        None,
        "Reads the model configuration from this folder, file or hub name instead of from the model.",
        state=State.WORKS,
    )

    hf_overrides: JsonObject = arg(
        {},
        "These keys replace values in the model's own configuration before it is used; objects are merged.",
        state=State.WORKS,
    )

    hf_token: Text | Literal[True] | None = arg(
        None,
        "Token for downloads from the hub; the bare flag uses the one saved by the hub's login command.",
        state=State.WORKS,
        secret=True,
        bare=True,
    )

    io_processor_plugin: Text | None = arg(
        None, "Loads this plugin to translate between raw inputs/outputs and prompts."
    )

    logits_processor_pattern: Text | None = arg(
        None,
        "Requests may name logits processors whose whole dotted path matches this regular expression; "
        "unset allows none.",
        state=State.WORKS,
    )

    logits_processors: Strings | None = arg(
        None,
        "Loads these logits-processor classes, by their dotted paths, into the engine for all requests.",
        state=State.WORKS,
    )

    logprobs_mode: Literal["processed_logits", "processed_logprobs", "raw_logits", "raw_logprobs"] = arg(
        "raw_logprobs",
        "Whether returned numbers are logits or log-probabilities, before or after penalties, "
        "temperature and top-k/top-p.",
        state=State.WORKS,
    )

    max_logprobs: Whole = arg(
        20,
        "Most log-probabilities per token that a request may ask for; -1 lifts the cap at the risk of "
        "memory.",
        state=State.WORKS,
        ge=-1,
    )

    max_model_len: Size | None = arg(
        None,
        "Longest prompt plus output in tokens; longer requests are refused. The model's own limit when "
        "unset.",
        state=State.WORKS,
        ge=1,
    )

    model: Name = arg(
        "Qwen/Qwen3-0.6B",
        "The model to serve: a local directory or a hub name. Requests use it as the model's name "
        "unless served-model-name says otherwise.",
        state=State.WORKS,
    )

    model_impl: Literal["auto", "terratorch", "transformers", "vllm"] = arg(
        "auto",
        "vllm forces the engine's own model code, transformers the generic one; auto takes its own where there "
        "is some.",
        state=State.WORKS,
        refused_values={"terratorch": "it serves geospatial vision models, which this engine does not"},
    )

    override_attention_dtype: Text | None = arg(
        None,
        "Attention, with the head norms and the rotary embedding before it, runs in this precision instead of the "
        "model's; so is the KV cache where kv-cache-dtype is auto.",
        state=State.WORKS,
        supported=("float32", "float", "bfloat16", "float16", "half"),
    )

    override_generation_config: GenerationDefaults = arg(
        GenerationDefaults(),
        "Default sampling values laid over those of generation-config.",
        state=State.WORKS,
    )

    override_pooler_config: PoolerConfig | None = arg(
        None, "Old name of pooler-config.", state=State.DEPRECATED, successor=same_as("model.pooler_config")
    )

    pooler_config: PoolerConfig | None = arg(
        None,
        "Sets how a pooling model reduces hidden states to its output (pooling type, normalisation, ...).",
        state=State.WORKS,
    )

    quantization: Text | None = arg(
        None,
        "Weights are treated as quantized by this method; unset trusts the model's own configuration. int8 and int4 "
        "round plain weights at loading, in groups of 128, 64 or 32 (the head always to 8 bits), on a CPU; gptq, awq, "
        "compressed-tensors (pack-quantized), fp8 and mxfp4 say what the checkpoint must be: of the first three a CPU "
        "multiplies by the stored codes (of gptq with desc_act where tensor-parallel ranks do not split a layer's inputs), "
        "all else becomes plain numbers at loading.",
        aliases=("-q",),
        state=State.WORKS,
        supported=("int8", "int4", "gptq", "awq", "compressed-tensors", "fp8", "mxfp4"),
    )

    revision: Text | None = arg(
        None, "Branch, tag or commit of the model repository to download.", state=State.WORKS
    )

    rope_scaling: RopeScaling = arg(
        RopeScaling(),
        "Overrides the model's rotary position scaling, e.g. a type and a factor. The context grows by the "
        "factor of linear, dynamic and yarn.",
        state=State.WORKS,
    )

    rope_theta: float | None = arg(
        None, "Overrides the base of the rotary position frequencies.", state=State.WORKS
    )

    runner: Literal["auto", "draft", "generate", "pooling"] = arg(
        "auto",
        "Whether the instance generates text, pools embeddings or drafts; one instance does one of them. auto pools "
        "what cannot generate, and what sentence-transformers made.",
        state=State.WORKS,
        refused_values={
            "draft": "a draft model runs inside the engine of the model that it drafts for, never alone"
        },
    )

    seed: Seed | None = arg(
        None,
        "Starts the engine's random generators, so that equal runs sample equally; requests may carry "
        "their own seed.",
        state=State.WORKS,
    )

    served_model_name: Strings | None = arg(
        None,
        "Names that requests may use for the model; the first is echoed in responses and labels metrics.",
        state=State.WORKS,
    )

    skip_tokenizer_init: bool = arg(
        False,
        "No tokenizer is loaded: requests must carry token ids and answers carry token ids.",
        state=State.WORKS,
    )

    task: (
        Literal[
            "auto", "classify", "draft", "embed", "embedding", "generate", "reward", "score", "transcription"
        ]
        | None
    ) = arg(
        None,
        "Decides what the model serves: text, embeddings, scores, classes, rewards or transcripts.",
        state=State.DEPRECATED,
        successor=task_successor(),
    )

    tokenizer: Text | None = arg(
        None,
        "Loads the tokenizer from this directory or hub name instead of from the model.",
        state=State.WORKS,
    )

    tokenizer_mode: Literal["auto", "custom", "mistral", "slow"] = arg(
        "auto",
        "Picks the fast, slow, Mistral or a registered custom tokenizer implementation. auto reads tokenizer.json; "
        "slow takes the tokenizer written in Python, for families that have one; mistral would need mistral-common, "
        "which allows older releases of numpy only.",
        state=State.WORKS,
        supported=("auto", "slow"),
        refused_values={
            "custom": "no code is registered or loaded from elsewhere; convert the tokenizer to a tokenizer.json, or "
            "use --trust-remote-code for code in the tokenizer's own repository",
        },
    )

    tokenizer_revision: Text | None = arg(
        None, "Uses this branch, tag or commit of the tokenizer's hub repository.", state=State.WORKS
    )

    trust_remote_code: bool = arg(
        False,
        "Python code shipped with the model repository may be executed: the classes that auto_map in config.json and "
        "tokenizer_config.json names. The engine's own code is preferred where it has some.",
        state=State.WORKS,
    )
