"""`paddock chat`, `complete` and `bench serve`, typed at a real server with a key."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from paddock_command import environment, fine, refusal
from serving import Serve

KEY = "sesame"
WITH_KEY = environment(OPENAI_API_KEY=KEY)
QUICK_RUN = ("--num-prompts", "6", "--random-input-len", "24", "--random-output-len", "8", "--ignore-eos")


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    log = tmp_path_factory.mktemp("serve") / "log"
    flags = ("--served-model-name", "tiny", "--enable-log-requests", "--enable-log-outputs")
    # A model that says the same each time, and briefly.
    sampling = ("--override-generation-config", '{"temperature": 0, "max_new_tokens": 24}')
    with Serve(log, *flags, *sampling, environ={"PADDOCK_API_KEY": KEY}) as serve:
        yield serve


@pytest.fixture
def at(serve: Serve) -> tuple[str, ...]:
    return ("--url", serve.url + "/v1")


@pytest.fixture
def bench(serve: Serve) -> tuple[str, ...]:
    return ("bench", "serve", "--port", str(serve.port))


def test_a_quick_message_prints_its_answer_alone(at: tuple[str, ...]) -> None:
    by_flag = fine("chat", *at, "--api-key", KEY, "-q", "What is a pod?")
    by_variable = fine("chat", *at, "--quick", "What is a pod?", environ=WITH_KEY)
    assert by_flag == by_variable
    assert "pod" in by_flag.lower()
    assert by_flag.endswith("\n")


def test_a_conversation_is_kept_from_line_to_line(serve: Serve, at: tuple[str, ...]) -> None:
    typed = "What is a pod?\n\nWhat is a service?\n"
    text = fine("chat", *at, "--system-prompt", "You are terse.", typed=typed, environ=WITH_KEY)
    assert text.count("\n") >= 2
    first = text.splitlines()[0]
    # The second request held all that was said before it.
    asked = [line for line in serve.log.read_text().splitlines() if "What is a service?" in line][-1]
    for said in ("You are terse.", "What is a pod?", first):
        assert said in asked


def test_complete_continues_each_line_by_itself(at: tuple[str, ...]) -> None:
    one = fine("complete", *at, "--model-name", "tiny", "-q", "A pod is", environ=WITH_KEY)
    assert fine("complete", *at, typed="A pod is\nA pod is\n", environ=WITH_KEY) == one * 2
    longer = fine("complete", *at, "-q", "A pod is", "--max-tokens", "30", environ=WITH_KEY)
    assert len(longer) > len(one)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["-q", "x", "--api-key", "wrong"],
            "wants an API key: give a valid one with --api-key or OPENAI_API_KEY",
        ),
        (["-q", "x", "--api-key", KEY, "--model-name", "other"], "The model `other` does not exist."),
    ],
)
def test_a_refusal_of_the_server_is_told_in_its_words(
    at: tuple[str, ...], words: list[str], problem: str
) -> None:
    assert problem in refusal(1, ["chat", *at, *words])


def test_an_address_without_a_server_says_what_to_do(serve: Serve) -> None:
    said = refusal(1, ["complete", "--url", "http://127.0.0.1:1/v1", "-q", "x"])
    assert "http://127.0.0.1:1/v1 cannot be reached: " in said
    assert "Start a server (paddock serve MODEL)" in said
    assert "base address" in refusal(1, ["chat", "--url", serve.url, "-q", "x", "--api-key", KEY])


def test_a_run_reports_its_times_and_writes_its_result_and_plot(
    bench: tuple[str, ...], tmp_path: Path
) -> None:
    text = fine(
        *bench, *QUICK_RUN, "--request-rate", "50", "--burstiness", "2", "--max-concurrency", "3", "--num-warmups", "2",
        "--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,99", "--goodput", "e2el:60000",
        "--save-result", "--save-detailed", "--result-dir", str(tmp_path), "--result-filename", "run.json",
        "--metadata", "machine=here", "--label", "mine", "--plot", str(tmp_path / "run.png"), environ=WITH_KEY,
    )  # fmt: skip
    assert "Requests answered   6 of 6" in text
    assert all(
        words in text
        for words in ("Time to first token", "Time per output token", "Gap", "End to end", "p50")
    )
    result = json.loads((tmp_path / "run.json").read_text())
    assert (result["completed"], result["failed"], result["machine"], result["label"]) == (
        6,
        0,
        "here",
        "mine",
    )
    assert (result["total_input_tokens"], result["total_output_tokens"]) == (6 * 24, 6 * 8)
    assert result["request_goodput"] == result["request_throughput"]
    assert 0 < result["p50_ttft_ms"] <= result["p99_ttft_ms"] <= result["p99_e2el_ms"]
    for first, gaps, whole in zip(result["ttfts"], result["itls"], result["e2els"], strict=True):
        assert first + sum(gaps) == pytest.approx(whole)
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_results_add_up_in_one_file(bench: tuple[str, ...], tmp_path: Path) -> None:
    where = (
        "--append-result",
        "--result-dir",
        str(tmp_path),
        "--result-filename",
        "runs.jsonl",
        "--disable-tqdm",
    )
    for api in ("openai", "openai-chat"):
        fine(*bench, *QUICK_RUN, *where, "--backend", api, environ=WITH_KEY)
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [run["endpoint"] for run in runs] == ["/v1/completions", "/v1/chat/completions"]
    assert [run["total_output_tokens"] for run in runs] == [48, 48]


def test_recorded_conversations_and_custom_prompts_are_sent(bench: tuple[str, ...], tmp_path: Path) -> None:
    talk = {
        "conversations": [
            {"value": "What is a pod in Kubernetes?"},
            {"value": "The smallest unit that it runs."},
        ]
    }
    file = tmp_path / "talks.json"
    file.write_text(json.dumps([talk]))
    sent = fine(
        *bench,
        "--dataset-name",
        "sharegpt",
        "--dataset-path",
        str(file),
        "--num-prompts",
        "3",
        environ=WITH_KEY,
    )
    assert "Requests answered   3 of 3" in sent
    file.write_text(json.dumps({"prompt": "What is a pod?"}))
    words = (
        "--dataset-name",
        "custom",
        "--dataset-path",
        str(file),
        "--num-prompts",
        "2",
        "--custom-output-len",
        "4",
    )
    assert "Output tokens       8" in fine(
        *bench, *words, "--ignore-eos", "--logprobs", "1", environ=WITH_KEY
    )


def test_requests_carry_ids_headers_and_extra_fields(serve: Serve, bench: tuple[str, ...]) -> None:
    words = (
        "--request-id-prefix",
        "my-run-",
        "--extra-body",
        '{"seed": 77}',
        "--header",
        f"Authorization=Bearer {KEY}",
    )
    fine(*bench, *QUICK_RUN, *words)
    log = serve.log.read_text()
    assert "my-run-5" in log
    assert "77" in log


def test_a_key_that_is_missing_fails_the_run_with_the_servers_words(bench: tuple[str, ...]) -> None:
    said = refusal(1, [*bench, *QUICK_RUN])
    assert "/v1/models answered 401" in said


def test_profiling_is_asked_of_the_server_which_has_none(bench: tuple[str, ...]) -> None:
    said = refusal(1, [*bench, *QUICK_RUN, "--profile"], environ=WITH_KEY)
    assert "--profile: the server's /start_profile answered 404" in said


def test_a_server_that_does_not_come_is_waited_for_no_longer_than_asked() -> None:
    said = refusal(1, ["bench", "serve", "--port", "1", "--ready-check-timeout-sec", "1"])
    assert "http://127.0.0.1:1 cannot be reached" in said
    assert "waited 1 s (--ready-check-timeout-sec)" in said
