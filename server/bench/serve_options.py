"""The flags of `paddock bench serve`."""

import argparse
import json
import math
from typing import Any

from paddock.server.bench.dataset_options import HUB_FLAGS, add_hub_flags, add_prefix_repetition, share
from paddock.server.bench.lengths import DEFAULTS
from paddock.server.bench.summary import TIMES
from paddock.server.cli.arguments import CommandParser, http_url, key_value, number, whole

APIS = ("vllm", "openai", "openai-chat", "openai-audio", "openai-embeddings")
DATASETS = (
    "sharegpt", "burstgpt", "sonnet", "random", "random-mm", "hf", "custom", "prefix_repetition", "spec_bench",
)  # fmt: skip
GOOD_TIMES = ("ttft", "tpot", "e2el")

positive = number("a number above 0", lambda value: value > 0)
finite = number("a finite number", math.isfinite)


def new_parser() -> CommandParser:
    """Every flag, in groups."""
    parser = CommandParser(
        "bench serve",
        "Send a workload to a running server and report throughput and latency.",
        epilog="A key for the server is read from OPENAI_API_KEY. Exit status: 0 measured, 1 nothing was answered, "
        "2 a flag is wrong.",
        formatter_class=argparse.HelpFormatter,
    )
    _add_server(parser.add_argument_group("server"))
    _add_load(parser.add_argument_group("load"))
    _add_requests(parser.add_argument_group("requests"))
    _add_dataset(parser.add_argument_group("data set"))
    _add_lengths(parser.add_argument_group("lengths, in tokens"))
    _add_result(parser.add_argument_group("result"))
    return parser


def _add_server(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--backend", choices=APIS, help="API that requests are written for (openai); openai-audio is refused")
    add("--endpoint-type", choices=APIS[:4], help="deprecated: use --backend")
    add("--base-url", type=http_url, help="server address instead of host and port")
    add("--host", default="127.0.0.1", help="server host (%(default)s)")
    add("--port", type=whole(1, 65535), default=8000, metavar="N", help="server port (%(default)s)")
    add("--endpoint", metavar="PATH", help="path that requests go to (/v1/completions, or the chat's or the "
        "embeddings' own)")  # fmt: skip
    add("--header", type=key_value, nargs="+", default=[], metavar="KEY=VALUE", help="extra headers")
    add("--model", help="model name in requests; the first one the server lists")
    add("--served-model-name", metavar="NAME", help="name used in requests when it differs from the model")
    add("--lora-modules", nargs="+", metavar="NAME", help="adapters, one drawn at random for each request")
    add("--tokenizer", metavar="MODEL", help="folder or hub name of the tokenizer that counts tokens; --model where "
        "that is a folder, else the server's own /tokenize")  # fmt: skip
    add("--tokenizer-mode", default="auto", help="auto alone: a tokenizer is read from its tokenizer.json")
    add("--trust-remote-code", action="store_true", help="run the tokenizer that a model's repository brings")


def _add_load(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--num-prompts", type=whole(1), default=1000, metavar="N", help="requests to send (%(default)s)")
    add("--request-rate", type=positive, metavar="X", help="requests started per second; inf, the default, "
        "starts all at once")  # fmt: skip
    add("--burstiness", type=number("a finite number above 0", lambda value: 0 < value < math.inf), metavar="X",
        help="shape of the gaps: 1, the default, is Poisson, less is burstier, more is steadier")  # fmt: skip
    add("--max-concurrency", type=whole(1), metavar="N", help="never more than this many requests at once")
    add("--ramp-up-strategy", choices=("linear", "exponential"), help="the rate rises over the run")
    add("--ramp-up-start-rps", type=whole(1), metavar="N", help="rate at the start of the rise")
    add("--ramp-up-end-rps", type=whole(1), metavar="N", help="rate at its end")
    add("--ready-check-timeout-sec", type=whole(0), default=600, metavar="N", help="wait this long for the "
        "server (%(default)s); 0 does not wait")  # fmt: skip
    add("--num-warmups", type=whole(0), default=0, metavar="N", help="requests sent first and not counted")
    add(
        "--profile",
        action="store_true",
        help="have the server profile the run: POST /start_profile, /stop_profile",
    )
    add("--disable-tqdm", action="store_true", help="show no progress bar")


def _add_requests(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--use-beam-search",
        action="store_true",
        help="ask for beam search; the width is --extra-body '{\"n\": 4}'",
    )
    add("--logprobs", type=whole(0), metavar="N", help="ask for so many log-probabilities")
    add("--ignore-eos", action="store_true", help="outputs always reach their full length")
    for name in ("top-p", "min-p", "frequency-penalty", "presence-penalty", "repetition-penalty"):
        add(f"--{name}", type=finite, metavar="X", help="sampling setting in requests")
    add("--top-k", type=whole(-1), metavar="N", help="sampling setting in requests")
    add("--temperature", type=finite, metavar="X", help="sampling setting in requests; greedy when unset")
    add("--extra-body", type=json_object, default={}, metavar="JSON", help="further fields of every request")
    add("--request-id-prefix", metavar="TEXT", help="start of every request id; random when unset")


def _add_dataset(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--dataset-name", choices=DATASETS, default="random", help="where prompts come from (%(default)s); "
        "hf and random-mm are refused")  # fmt: skip
    add("--dataset-path", metavar="FILE", help="file of the data set")
    add("--seed", type=int, default=0, metavar="N", help="makes the drawn prompts repeatable (%(default)s)")
    add("--disable-shuffle", action="store_true", help="keep the order of the data set")
    add(
        "--no-oversample", action="store_true", help="send fewer requests rather than repeat a small data set"
    )
    add("--skip-chat-template", action="store_true", help="send texts to the completions API as they are")
    add("--spec-bench-category", metavar="NAME", help="use one category of that data set")
    add_hub_flags(group, HUB_FLAGS)


def _add_lengths(group: argparse._ArgumentGroup) -> None:
    def length(flag: str, default: int | None, meaning: str, least: int = 1) -> None:
        group.add_argument(
            flag, type=whole(least), default=default, metavar="N", help=f"{meaning} (%(default)s)"
        )

    length("--random-input-len", DEFAULTS.random_input, "random prompts")
    length("--random-output-len", DEFAULTS.random_output, "outputs for random prompts")
    group.add_argument("--random-range-ratio", type=share, default=0.0, metavar="X",
                       help="these lengths vary by this share up and down (%(default)s)")  # fmt: skip
    length("--random-prefix-len", 0, "shared tokens before each random prompt", least=0)
    length("--random-batch-size", 1, "inputs of one embedding request")
    length("--custom-output-len", DEFAULTS.custom_output, "outputs for the custom data set")
    length("--spec-bench-output-len", DEFAULTS.spec_bench_output, "outputs for spec_bench")
    group.add_argument(
        "--sharegpt-output-len", type=whole(1), metavar="N", help="instead of the recorded length"
    )
    length("--sonnet-input-len", DEFAULTS.sonnet_input, "sonnet prompts")
    length("--sonnet-output-len", DEFAULTS.sonnet_output, "outputs for sonnet prompts")
    length("--sonnet-prefix-len", DEFAULTS.sonnet_prefix, "their shared beginning", least=0)
    add_prefix_repetition(group)


def _add_result(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--percentile-metrics", type=times, default=["ttft", "tpot", "itl"], metavar="NAMES",
        help="times that are reported, out of ttft, tpot, itl and e2el (ttft,tpot,itl)")  # fmt: skip
    add("--metric-percentiles", type=percents, default=[99.0], metavar="NUMBERS",
        help="percentiles reported, comma-separated (99)")  # fmt: skip
    add("--goodput", type=target, nargs="+", default=[], metavar="KEY:MS",
        help="most milliseconds of ttft, tpot or e2el: reports the rate of requests that meet all")  # fmt: skip
    add("--plot", metavar="FILE", help="draw the run as a PNG")
    add("--save-result", action="store_true", help="write the result as JSON")
    add("--save-detailed", action="store_true", help="that file also holds every request")
    add("--append-result", action="store_true", help="add a line to an existing file")
    add(
        "--metadata",
        type=key_value,
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="notes stored with the result",
    )
    add("--result-dir", metavar="FOLDER", help="folder of the result file; the current one")
    add("--result-filename", metavar="NAME", help="name of the result file; made from the run's settings")
    add("--label", metavar="NAME", help="name of the run in the result; the API")


def json_object(text: str) -> dict[str, Any]:
    """The type of a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def times(text: str) -> list[str]:
    """The type of names of times, comma-separated."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in TIMES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(TIMES)}")
    return names


def percents(text: str) -> list[float]:
    """The type of percentiles, comma-separated."""
    read = number("a percentile from 0 to 100", lambda value: 0 <= value <= 100)
    return [read(part) for part in text.split(",")]


def target(text: str) -> tuple[str, float]:
    """The type of KEY:MILLISECONDS."""
    key, _, limit = text.partition(":")
    if key not in GOOD_TIMES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not KEY:MILLISECONDS with one of {', '.join(GOOD_TIMES)}"
        )
    return key, positive(limit)
