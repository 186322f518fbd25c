"""Scheduling and logits processors, seen from HTTP: one real server with the tiny model."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Serve, failed_start
from waiting import until

MODULE = """
from paddock.engine.sampling.logits_processor import LogitsProcessor
from paddock.engine.scheduler.scheduler import Scheduler


class Forced(LogitsProcessor):
    def __init__(self, settings, device):
        self.tokens = {}

    @classmethod
    def check(cls, sampling, arguments):
        if not isinstance(arguments.get("token", 0), int):
            raise ValueError("token must be an integer")

    def update(self, batch):
        for new in batch.added:
            self.tokens[new.row] = new.arguments.get("token")

    def apply(self, logits, rows, lengths):
        for index, row in enumerate(rows.tolist()):
            if self.tokens[row] is not None:
                logits[index].fill_(-1000.0)
                logits[index, self.tokens[row]] = 1000.0
        return logits


class Broken(LogitsProcessor):
    def apply(self, logits, rows, lengths):
        return logits * float("nan")


class Counted(Scheduler):
    def __init__(self, cache, settings, num_stages):
        super().__init__(cache, settings, num_stages)
        print("my own scheduler is at work", flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scheduling")
    (folder / "my_engine_parts.py").write_text(MODULE)
    return folder


@pytest.fixture(scope="module")
def serve(folder: Path) -> Iterator[Serve]:
    flags = [
        *("--scheduling-policy", "priority", "--max-num-seqs", "1", "--async-scheduling"),
        *("--scheduler-cls", "my_engine_parts.Counted", "--prefix-caching-hash-algo", "sha256"),
        *("--logits-processors", "my_engine_parts.Forced"),
        *("--logits-processor-pattern", r"my_engine_parts\.(Forced|Broken)"),
        *("--logprobs-mode", "processed_logits"),
    ]
    with Serve(folder / "log", *flags, environ={"PYTHONPATH": str(folder)}) as serve:
        yield serve


def complete(serve: Serve, **fields: Any) -> httpx.Response:
    body = {"prompt": [5, 6, 7], "temperature": 0, "max_tokens": 4, **fields}
    return httpx.post(f"{serve.url}/v1/completions", json=body, timeout=120)


def choice(serve: Serve, **fields: Any) -> dict[str, Any]:
    answer = complete(serve, **fields)
    assert answer.status_code == 200, answer.text
    chosen: dict[str, Any] = answer.json()["choices"][0]
    return chosen


def test_a_lower_priority_number_overtakes_those_who_came_before(serve: Serve) -> None:
    ended: list[str] = []

    def ask(name: str, **fields: Any) -> None:
        assert complete(serve, **fields).status_code == 200
        ended.append(name)

    with ThreadPoolExecutor(3) as threads:
        threads.submit(ask, "running", max_tokens=2000, ignore_eos=True)
        until(lambda: serve.metric("vllm:num_requests_running") == 1, seconds=60, what="the first runs")
        threads.submit(ask, "late in rank", priority=5, max_tokens=400, ignore_eos=True)
        until(lambda: serve.metric("vllm:num_requests_waiting") == 1, seconds=60, what="the second waits")
        threads.submit(ask, "first in rank", priority=-5, max_tokens=2)

    # One row: whoever is served second ends hundreds of steps after whoever is served first.
    assert ended.index("first in rank") < ended.index("late in rank")


def test_the_scheduler_of_the_users_own_serves(serve: Serve) -> None:
    assert choice(serve)["finish_reason"] == "length"
    assert "my own scheduler is at work" in serve.log.read_text()


def test_a_processor_of_every_request_follows_its_xargs(serve: Serve) -> None:
    tokens = [
        choice(serve, vllm_xargs=xargs, logprobs=1, return_tokens_as_token_ids=True)["logprobs"]["tokens"]
        for xargs in ({"token": 42}, {"token": 43}, {})
    ]

    assert tokens[0] == ["token_id:42"] * 4
    assert tokens[1] == ["token_id:43"] * 4
    assert "token_id:42" not in tokens[2]


def test_a_named_processor_gets_its_arguments(serve: Serve) -> None:
    named = [{"qualname": "my_engine_parts.Forced", "kwargs": {"token": 44}}]

    found = choice(serve, logits_processors=named, logprobs=1, return_tokens_as_token_ids=True)

    assert found["logprobs"]["tokens"] == ["token_id:44"] * 4
    # --logprobs-mode processed_logits: what is reported is the logit that the processor set.
    assert found["logprobs"]["token_logprobs"] == [1000.0] * 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"logits_processors": ["os.system"]}, "--logits-processor-pattern of this server does not match"),
        ({"logits_processors": ["my_engine_parts.ForcedX"]}, "does not match"),
        ({"vllm_xargs": {"token": "x"}}, "token must be an integer"),
    ],
)
def test_what_cannot_be_served_is_a_400_that_says_why(serve: Serve, fields: Any, words: str) -> None:
    answer = complete(serve, **fields)

    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == "logits_processors"


def test_a_request_without_numbers_ends_alone_with_the_reason(serve: Serve) -> None:
    answer = complete(serve, logits_processors=["my_engine_parts.Broken"])

    assert answer.status_code == 500
    assert "NaN" in answer.json()["error"]["message"]
    assert choice(serve)["finish_reason"] == "length"
    assert serve.is_healthy()


def test_a_prompt_is_found_again_by_private_hashes(serve: Serve) -> None:
    hits = serve.metric("vllm:prefix_cache_hits_total")
    for _ in range(2):
        choice(serve, prompt=list(range(10, 60)))

    assert serve.metric("vllm:prefix_cache_hits_total") == hits + 48


def test_a_class_that_cannot_be_loaded_stops_the_start_with_its_path() -> None:
    from serving import TINY_MODEL

    ended = failed_start(str(TINY_MODEL), "--port", "0", "--scheduler-cls", "nowhere.Scheduler")

    assert ended.returncode != 0
    assert "--scheduler-cls: 'nowhere.Scheduler': the module nowhere cannot be imported" in (
        ended.stdout + ended.stderr
    )
