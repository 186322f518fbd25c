"""`paddock bench latency` and `throughput`: the engine by itself, in a process as a user starts it."""

import json
from pathlib import Path

import pytest
from paddock_command import fine, refusal
from serving import SMALL_CACHE, TINY_MODEL

MODEL = (str(TINY_MODEL), *SMALL_CACHE)
LATENCY = ("bench", "latency", *MODEL, "--input-len", "16", "--output-len", "8", "--batch-size", "2")
BRIEF = ("--num-iters", "3", "--num-iters-warmup", "1")
THROUGHPUT = (
    "bench",
    "throughput",
    str(TINY_MODEL),
    "--dataset-name",
    "random",
    "--input-len",
    "16",
    "--output-len",
    "8",
)


def test_latency_reports_repetitions_and_writes_them(tmp_path: Path) -> None:
    result, picture = tmp_path / "latency.json", tmp_path / "latency.png"
    text = fine(*LATENCY, *BRIEF, "--n", "2", "--output-json", str(result), "--plot", str(picture))
    assert "Mean latency" in text
    assert "99% percentile" in text
    written = json.loads(result.read_text())
    assert len(written["latencies"]) == 3
    assert written["avg_latency"] == pytest.approx(sum(written["latencies"]) / 3)
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")


def test_beam_search_is_measured_too() -> None:
    assert "Mean latency" in fine(*LATENCY, *BRIEF, "--use-beam-search", "--n", "3", "--disable-detokenize")


def test_a_profile_is_a_trace_with_the_kernels_of_the_engine(tmp_path: Path) -> None:
    text = fine(*LATENCY, "--num-iters", "1", "--num-iters-warmup", "0", "--profile", cwd=tmp_path)
    assert "profile: paddock-bench-latency.trace.json" in text
    trace = json.loads((tmp_path / "paddock-bench-latency.trace.json").read_text())
    assert len(trace["traceEvents"]) > 100


def test_throughput_counts_every_token_with_more_requests_than_the_queue_holds(tmp_path: Path) -> None:
    result = tmp_path / "throughput.json"
    words = ("--num-prompts", "40", "--n", "2", "--max-num-seqs", "4", "--output-json", str(result))
    text = fine(*THROUGHPUT, *SMALL_CACHE, *words)
    assert "Requests            40 in " in text
    written = json.loads(result.read_text())
    assert written["total_num_tokens"] == 40 * 16 + 2 * 40 * 8
    assert written["tokens_per_second"] == pytest.approx(
        written["total_num_tokens"] / written["elapsed_time"]
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--async-engine", *SMALL_CACHE),
        ("--async-engine", "--disable-frontend-multiprocessing", *SMALL_CACHE),
        pytest.param(("--backend", "hf", "--hf-max-batch-size", "4"), marks=pytest.mark.long),
        ("--backend", "vllm-chat", "--disable-detokenize", *SMALL_CACHE),
    ],
    ids=["async", "one-process", "hf", "chat"],
)
def test_other_ways_to_generate_work_off_the_same_pile(words: tuple[str, ...]) -> None:
    assert "Requests            8 in " in fine(*THROUGHPUT, "--num-prompts", "8", *words)


def test_a_recorded_data_set_is_read(tmp_path: Path) -> None:
    talk = {
        "conversations": [
            {"value": "What is a pod in Kubernetes?"},
            {"value": "The smallest unit that it runs."},
        ]
    }
    file = tmp_path / "talks.json"
    file.write_text(json.dumps([talk]))
    words = ("bench", "throughput", *MODEL, "--dataset", str(file), "--num-prompts", "3", "--output-len", "4")
    assert "Requests            3 in " in fine(*words)


def test_lengths_beyond_the_context_are_refused() -> None:
    said = refusal(1, ["bench", "latency", *MODEL, "--input-len", "2000", "--output-len", "100"])
    assert "--input-len 2000 and --output-len 100 exceed the context of 2048 tokens" in said
