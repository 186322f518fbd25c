"""How a serving process starts, refuses to start, drains, fails and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import SMALL_CACHE, TINY_MODEL, Serve, failed_start
from waiting import until

KEY = "sk-test-secret"
LONG = {"prompt": "once upon a time", "max_tokens": 600, "ignore_eos": True, "stream": True}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with Serve(tmp_path / "log", "--max-num-seqs", "2", environ={"PADDOCK_API_KEY": KEY}) as serve:
        yield serve


def ask(serve: Serve, **body: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.post(serve.url + "/v1/completions", json={**LONG, **body}, headers=headers, timeout=300)


def running(serve: Serve, count: int) -> None:
    until(
        lambda: serve.metric("vllm:num_requests_running") == count,
        seconds=30,
        what="requests to run",
        every=0.02,
    )


def test_a_key_from_the_environment_guards_the_api_and_is_never_logged(serve: Serve) -> None:
    assert httpx.get(serve.url + "/v1/models").status_code == 401
    assert httpx.get(serve.url + "/v1/models", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
    assert KEY not in serve.log.read_text()


def test_sigterm_lets_a_stream_finish_and_ends_with_zero(serve: Serve) -> None:
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(ask, serve)
        running(serve, 1)
        serve.signal(signal.SIGTERM)
        until(
            lambda: httpx.get(serve.url + "/health").status_code == 503,
            seconds=10,
            what="health to fail",
            every=0.01,
        )
        refused = ask(serve)
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert httpx.get(serve.url + "/ping").status_code == 200
        text = stream.result().text
    assert text.endswith("data: [DONE]\n\n")
    assert '"error"' not in text
    assert text.count("data: ") > 100
    assert serve.wait() == 0


def test_a_kept_connection_is_served_once_more_and_told_that_it_was_the_last(serve: Serve) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    with (
        httpx.Client(base_url=serve.url, headers=headers, timeout=300) as client,
        ThreadPoolExecutor() as pool,
    ):
        stream = pool.submit(client.post, "/v1/completions", json=LONG)
        running(serve, 1)
        serve.signal(signal.SIGTERM)
        until(lambda: not serve.is_healthy(), seconds=10, what="the drain to begin", every=0.01)
        assert stream.result().text.endswith("data: [DONE]\n\n")
        last = client.post("/v1/completions", json={**LONG, "max_tokens": 3})
    assert last.status_code == 200
    assert last.headers["connection"] == "close"
    assert last.text.endswith("data: [DONE]\n\n")
    assert serve.wait() == 0


def test_a_second_signal_stops_at_once(serve: Serve) -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(ask, serve, max_tokens=1500)
        running(serve, 1)
        serve.signal(signal.SIGTERM)
        until(lambda: not serve.is_healthy(), seconds=10, what="the drain to begin", every=0.01)
        serve.signal(signal.SIGTERM)
        assert serve.wait(15) == 128 + signal.SIGTERM


def test_a_killed_engine_ends_streams_with_an_error_and_the_process_with_one(serve: Serve) -> None:
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(ask, serve, max_tokens=1500)
        running(serve, 1)
        os.kill(serve.engine_pid(), signal.SIGKILL)
        events = stream.result().text.split("\n\n")
    error = json.loads(events[-3].removeprefix("data: "))["error"]
    assert error["code"] == 500
    assert "engine" in error["message"]
    assert events[-2] == "data: [DONE]"
    assert serve.wait(10) == 1


def test_the_server_takes_its_engine_with_it(serve: Serve) -> None:
    engine = serve.engine_pid()
    serve.signal(signal.SIGKILL)
    serve.wait()
    until(lambda: not Path(f"/proc/{engine}").exists(), seconds=15, what="the engine to end")


def test_a_full_queue_is_a_503_with_retry_after_and_empties_again(serve: Serve) -> None:
    # Two rows, and a queue of four per row.
    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda _: ask(serve, stream=False, max_tokens=100), range(24)))
    statuses = {reply.status_code for reply in replies}
    assert statuses == {200, 503}
    refused = next(reply for reply in replies if reply.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["type"] == "ServiceUnavailableError"
    assert ask(serve, max_tokens=2).status_code == 200


def test_a_signal_while_the_model_loads_ends_with_zero_and_no_engine(tmp_path: Path) -> None:
    serve = Serve(tmp_path / "log")
    try:
        engine = until(lambda: serve.children(), seconds=60, what="the engine to start", every=0.02)[0]
        serve.signal(signal.SIGTERM)
        assert serve.wait() == 0
        assert not Path(f"/proc/{engine}").exists()
    finally:
        serve.kill()


def test_the_drain_has_an_end(tmp_path: Path) -> None:
    with (
        Serve(tmp_path / "log", environ={"PADDOCK_DRAIN_TIMEOUT_SECONDS": "0.5"}) as serve,
        ThreadPoolExecutor() as pool,
    ):
        stream = pool.submit(ask, serve, max_tokens=1900)
        running(serve, 1)
        serve.signal(signal.SIGTERM)
        text = stream.result().text
        assert "shutting down" in text
        assert text.endswith("data: [DONE]\n\n")
        assert serve.wait() == 0


def test_a_port_in_use_is_told_before_the_model_loads() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = failed_start(str(TINY_MODEL), "--host", "127.0.0.1", "--port", port)
    assert ended.returncode == 1
    assert port in ended.stderr
    assert "--port" in ended.stderr
    assert "loading" not in ended.stderr


def copy_of_tiny(folder: Path, *left_out: str) -> Path:
    for path in TINY_MODEL.iterdir():
        if path.name not in left_out:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_missing_model_folder_is_one_clear_line() -> None:
    ended = failed_start("/nowhere/model", "--port", "0")
    assert ended.returncode == 1
    assert "/nowhere/model" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_without_tokenizer_says_how_to_make_one(tmp_path: Path) -> None:
    ended = failed_start(str(copy_of_tiny(tmp_path, "tokenizer.json")), "--port", "0")
    assert ended.returncode == 1
    assert "tokenizer.json" in ended.stderr
    assert "--tokenizer" in ended.stderr


def test_corrupt_weights_are_named(tmp_path: Path) -> None:
    folder = copy_of_tiny(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    ended = failed_start(str(folder), "--port", "0", *SMALL_CACHE)
    assert ended.returncode == 1
    assert "model.safetensors" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--no-such-flag"], "--no-such-flag"),
        (["--port", "99999"], "port"),
        (["--max-model-len", "999999"], "max-model-len"),
        (["--decode-context-parallel-size", "3"], "tensor-parallel-size"),
        (["--override-generation-config", '{"mood": 1}'], "mood"),
    ],
)
def test_a_bad_argument_ends_with_two(flags: list[str], named: str) -> None:
    ended = failed_start(str(TINY_MODEL), *flags)
    assert ended.returncode == 2
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_template_completions_work_and_chat_says_what_to_do(tmp_path: Path) -> None:
    folder = copy_of_tiny(tmp_path, "chat_template.jinja")
    with Serve(tmp_path / "log", model=folder) as serve:
        assert (
            httpx.post(serve.url + "/v1/completions", json={"prompt": "a", "max_tokens": 1}).status_code
            == 200
        )
        refused = httpx.post(
            serve.url + "/v1/chat/completions", json={"messages": [{"role": "user", "content": "a"}]}
        )
        assert refused.status_code == 400
        assert "--chat-template" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["serve", "--help"], ["serve", "--help=max-model-len"]]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from paddock.server.cli.main import main; status = main(sys.argv[1:]); "
        "assert not {'torch', 'transformers', 'fastapi', 'zmq'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_server_process_never_loads_torch() -> None:
    program = (
        "import sys, paddock.server.process, paddock.server.cli.serve; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
