"""Translations of SGLang values that need more than another name."""

from typing import Any

from paddock.engine.config.sglang.fate import Given
from paddock.engine.config.successors import Path

Moved = dict[Path, object] | str

BLOCK_SIZE = 16
"""Tokens per block where neither dialect's argument says otherwise."""

MAX_PREFILL_TOKENS = 16384
BATCHED = ("scheduler", "max_num_batched_tokens")

TOOL_PARSERS = {
    "qwen25": "hermes",
    "mistral": "mistral",
    "llama3": "llama3_json",
    "deepseekv3": "deepseek_v3",
    "pythonic": "pythonic",
}


def chunked_prefill(size: int, given: Given) -> Moved:
    """A positive size is the budget of a step; -1 switches chunking off."""
    if size > 0:
        page = given.get("page_size") or 1
        return {BATCHED: size} if size % page == 0 else f"must be a multiple of --page-size {page}"
    if size == 0:
        return "must be above 0, or -1 for whole prompts"
    budget = max(given.get("max_prefill_tokens") or MAX_PREFILL_TOKENS, given.get("context_length") or 0)
    return {("scheduler", "enable_chunked_prefill"): False, BATCHED: budget}


def max_prefill_tokens(value: int, given: Given) -> Moved:
    """Whole prompts share this budget; pieces are bounded by the chunk size, which is the step's budget here."""
    if given.get("chunked_prefill_size") == -1 or value == MAX_PREFILL_TOKENS:
        return {}
    return "only counts with --chunked-prefill-size -1; a step has one budget, --chunked-prefill-size"


def max_total_tokens(tokens: int, given: Given) -> Moved:
    """A pool of tokens as whole blocks, never more than was asked for."""
    blocks = tokens // (given.get("page_size") or BLOCK_SIZE)
    return {("cache", "num_gpu_blocks_override"): blocks} if blocks else "must hold at least one page"


def chat_template(template: str, _: Given) -> Moved:
    """Files and Jinja text are the same in both dialects, built-in names are not."""
    if any(sign in template for sign in "/.{"):
        return {("frontend", "chat_template"): template}
    return "built-in template names are SGLang's own; give a Jinja file"


def dist_init_addr(address: str, _: Given) -> Moved:
    """The leader's host and port, an IPv6 host in brackets."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit()):
        return "must be HOST:PORT, for example 10.0.0.1:5000"
    return {("parallel", "master_addr"): host.strip("[]"), ("parallel", "master_port"): int(port)}


def node_rank(rank: int, _: Given) -> Moved:
    """There every node is given the same command; here those that serve no API are told so."""
    return {("parallel", "node_rank"): rank, ("service", "headless"): rank > 0}


def tool_call_parser(name: str, _: Given) -> Moved:
    """Naming a parser switches automatic tool calls on."""
    return {
        ("frontend", "tool_call_parser"): TOOL_PARSERS[name],
        ("frontend", "enable_auto_tool_choice"): True,
    }


def lora_paths(paths: list[str], _: Given) -> Moved:
    """Adapters as `path` or `name=path`; giving some switches adapters on."""
    modules = [path if "=" in path else f"{path}={path}" for path in paths]
    return {("frontend", "lora_modules"): modules, ("lora", "enable_lora"): True}


def max_loras(count: int, _: Given) -> Moved:
    """SGLang counts the bare model as one of the batch's adapters."""
    return {("lora", "max_loras"): count - 1} if count > 1 else "must be at least 2: the bare model counts"


def embedding(wanted: bool, _: Given) -> Moved:
    """A pooling runner that embeds."""
    return {("model", "runner"): "pooling", ("model", "convert"): "embed"} if wanted else {}


def device(name: str, _: Given) -> Moved:
    """The device is found, not chosen."""
    if name == "auto":
        return {}
    if name in ("cuda", "cpu"):
        return "the device is detected; drop the flag (to use the CPU, hide GPUs with CUDA_VISIBLE_DEVICES)"
    return "this engine serves NVIDIA GPUs and CPUs"


def speculative_steps(steps: int, given: Given) -> Moved:
    """A chain of draft steps; a tree of them has no counterpart."""
    if (given.get("speculative_eagle_topk") or 1) > 1:
        return "draft trees are not built: set --speculative-eagle-topk 1"
    return {("engine", "speculative_config", "num_speculative_tokens"): steps}


def speculative_draft_tokens(tokens: int, given: Given) -> Moved:
    """A chain of n steps verifies n + 1 tokens, so next to the steps this says nothing new."""
    steps: Any = given.get("speculative_num_steps")
    if steps is None:
        return {("engine", "speculative_config", "num_speculative_tokens"): tokens}
    return {} if tokens == steps + 1 else f"must be {steps + 1}, one more than --speculative-num-steps"
