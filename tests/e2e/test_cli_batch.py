"""`paddock run-batch`: files in and out, faults by line, a kill in the middle, addresses and metrics."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_thread import HttpThread
from paddock_command import command, environment, fine, refusal
from serving import SMALL_CACHE, TINY_MODEL, free_port
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from waiting import NotYet, until

ENGINE = (str(TINY_MODEL), "--served-model-name", "tiny", *SMALL_CACHE)


def line(custom_id: str, url: str, **body: Any) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body})


def chat(custom_id: str, max_tokens: int = 8, **more: Any) -> str:
    messages = [{"role": "user", "content": f"What is a pod? {custom_id}"}]
    return line(custom_id, "/v1/chat/completions", messages=messages, max_tokens=max_tokens, **more)


def answers(file: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in file.read_text().splitlines()]


def test_each_line_gets_an_answer_or_its_own_error(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [
        chat("chat", model="tiny"),
        line("completion", "/v1/completions", prompt="A pod is", max_tokens=4),
        "not json",
        line("tokens", "/tokenize", prompt="A pod"),
        line("chat", "/tokenize", prompt="twice the same id"),
        "",
        line("range", "/v1/completions", prompt="A pod is", max_tokens=-1),
        line("model", "/v1/completions", model="other", prompt="x"),
        line("nowhere", "/v1/nowhere"),
        chat("stream", stream=True),
    ]
    source.write_text("\n".join(lines))
    words = ("--response-role", "helper", "--enable-prompt-tokens-details", "--disable-log-stats")
    said = fine("run-batch", "-i", str(source), "-o", str(target), *ENGINE, *words)

    assert said == f"9 lines: 3 answered, 6 with errors: {target}\n"
    found = answers(target)
    assert [each["custom_id"] for each in found] == [
        "chat", "completion", None, "tokens", "chat", "range", "model", "nowhere", "stream",
    ]  # fmt: skip
    message = found[0]["response"]["body"]["choices"][0]["message"]
    assert message["role"] == "helper"
    assert message["content"]
    assert "prompt_tokens_details" in found[0]["response"]["body"]["usage"]
    assert [each["response"] and each["response"]["status_code"] for each in found] == [
        200, 200, None, 200, None, 400, 404, 404, None,
    ]  # fmt: skip
    assert found[0]["error"] is None
    assert "line 3 is no JSON object" in found[2]["error"]["message"]
    assert "that of an earlier line" in found[4]["error"]["message"]
    assert "max_tokens" in found[5]["error"]["message"]
    assert not list(tmp_path.glob("*.partial"))


def children(pid: int) -> list[int]:
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in paths for child in path.read_text().split()]


@pytest.mark.long
def test_a_run_that_is_killed_goes_on_where_it_was_and_leaves_no_server(tmp_path: Path) -> None:
    source, target, gathering = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "tmp"
    source.write_text("\n".join(chat(f"{number}", max_tokens=200, ignore_eos=True) for number in range(40)))
    words = ["run-batch", "-i", str(source), "-o", str(target), "--output-tmp-dir", str(gathering), *ENGINE]
    partial = gathering / "out.jsonl.partial"

    def some_answers() -> list[str]:
        texts = partial.read_text().splitlines()[1:] if partial.exists() else []
        if len(texts) < 3:
            raise NotYet(f"{len(texts)} answers")
        return texts

    first = subprocess.Popen(
        command(*words, "--max-num-seqs", "1"), env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        until(some_answers, seconds=120, what="three answers", every=0.05)
        servers = children(first.pid)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    before = [json.loads(text) for text in partial.read_text().splitlines()[1:] if text.endswith("}}")]
    assert 3 <= len(before) < 40
    assert servers
    until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers),
        seconds=30,
        what="the server to end",
    )

    assert fine(*words) == f"40 lines: 40 answered, 0 with errors: {target}\n"
    found = answers(target)
    assert [each["custom_id"] for each in found] == [f"{number}" for number in range(40)]
    # The answers from before the kill are there as they were: nothing was asked twice.
    ids = {each["id"] for each in found}
    assert all(each["answer"]["id"] in ids for each in before)
    assert not partial.exists()


class Store:
    """Gives what it holds to GET and takes what is PUT; the first PUT of a name fails as a busy store does."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.refused: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        name, body = request.url.path, await request.body()
        if request.method == "PUT" and name not in self.refused:
            self.refused.add(name)
            reply = Response(status_code=503)
        elif request.method == "PUT":
            self.held[name] = body
            reply = Response()
        else:
            reply = Response(self.held.get(name, b""), 200 if name in self.held else 404)
        await reply(scope, receive, send)


@pytest.mark.long
def test_addresses_are_read_and_written_and_metrics_are_served_meanwhile(tmp_path: Path) -> None:
    store, port = Store(), free_port()
    store.held["/in"] = "\n".join(chat(f"{number}", 400, ignore_eos=True) for number in range(12)).encode()
    with HttpThread(store) as http:
        base = f"http://127.0.0.1:{http.port}"
        words = ["-i", f"{base}/in?signature=sesame", "-o", f"{base}/out?signature=sesame"]
        words += ["--enable-metrics", "--url", "127.0.0.1", "--port", str(port), "--max-num-seqs", "2"]
        running = subprocess.Popen(
            command("run-batch", *words, *ENGINE), env=environment(XDG_CACHE_HOME=str(tmp_path)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

        def running_requests() -> bool:
            try:
                text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
            except httpx.TransportError as error:
                raise NotYet(str(error)) from None
            return 'vllm:num_requests_running{engine="0",model_name="tiny"} 2.0' in text

        try:
            until(running_requests, seconds=120, what="two running requests in the metrics", every=0.05)
            out, log = running.communicate(timeout=120)
        finally:
            running.kill()
    assert running.returncode == 0, log
    assert out == f"12 lines: 12 answered, 0 with errors: {base}/out\n"
    assert "sesame" not in log
    found = [json.loads(text) for text in store.held["/out"].splitlines()]
    assert [each["response"]["status_code"] for each in found] == [200] * 12
    assert not list(tmp_path.rglob("*.partial"))


def test_an_engine_that_cannot_start_ends_the_run_and_keeps_the_input(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(chat("a"))
    said = refusal(1, ["run-batch", "-i", str(source), "-o", "out", str(tmp_path / "no-model")], cwd=tmp_path)
    assert "does not exist" in said
    assert "the engine could not start (status 1); its log above says why" in said
    assert not (tmp_path / "out").exists()
