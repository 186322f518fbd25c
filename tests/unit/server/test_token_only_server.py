"""A server started from a hub, without a tokenizer: token ids in, token ids out, and text refused by name."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hub import Hub, Repository
from serving import TINY_MODEL, Serve, failed_start

PROMPT = [5, 6, 7, 8, 9, 10]
GREEDY = {"prompt": PROMPT, "max_tokens": 6, "temperature": 0}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("hub-home")
    environ = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
    flags = ("--skip-tokenizer-init", "--revision", "v1", "--hf-token", "hf_tiny", "--seed", "1")
    with Hub(owner__tiny=Repository({"v1": TINY_MODEL}, token="hf_tiny")) as hub:
        with Serve(
            home / "log", *flags, model=Path("owner/tiny"), environ={**environ, "HF_ENDPOINT": hub.url}
        ) as served:
            yield httpx.Client(base_url=served.url, timeout=60)
        assert "hf_tiny" not in served.log.read_text()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """What the same model, served with its tokenizer from its folder, answers to the same token ids."""
    log = tmp_path_factory.mktemp("plain") / "log"
    with Serve(log, "--seed", "1", "--safetensors-load-strategy", "eager") as served:
        body = {**GREEDY, "return_token_ids": True}
        reply = httpx.post(served.url + "/v1/completions", json=body, timeout=60).json()
        token_ids: list[int] = reply["choices"][0]["token_ids"]
        return token_ids


def test_answers_carry_token_ids_and_no_text(http: httpx.Client, plain: list[int]) -> None:
    reply = http.post("/v1/completions", json=GREEDY).json()

    assert reply["choices"][0]["token_ids"] == plain
    assert reply["choices"][0]["text"] == ""
    assert reply["usage"]["completion_tokens"] == 6


def test_a_stream_carries_token_ids(http: httpx.Client, plain: list[int]) -> None:
    found: list[int] = []
    with http.stream("POST", "/v1/completions", json={**GREEDY, "stream": True}) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                for choice in httpx.Response(200, text=line.removeprefix("data: ")).json()["choices"]:
                    found += choice.get("token_ids") or []

    assert found == plain


def test_logprobs_name_tokens_by_id(http: httpx.Client, plain: list[int]) -> None:
    reply = http.post("/v1/completions", json={**GREEDY, "logprobs": 1}).json()

    assert reply["choices"][0]["logprobs"]["tokens"] == [f"token_id:{token_id}" for token_id in plain]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/completions", {"prompt": "Hello"}, "prompt"),
        ("/v1/completions", {**GREEDY, "stop": ["x"]}, "stop"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}, "messages"),
        ("/tokenize", {"prompt": "Hello"}, "prompt"),
        ("/detokenize", {"tokens": [1, 2]}, "tokens"),
    ],
)
def test_what_needs_text_is_refused_by_name(
    path: str, body: dict[str, object], field: str, http: httpx.Client
) -> None:
    reply = http.post(path, json=body)

    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["param"], "--skip-tokenizer-init" in error["message"]) == (field, True)


def test_a_model_without_a_tokenizer_starts_only_without_it(tmp_path: Path) -> None:
    for file in TINY_MODEL.iterdir():
        if not file.name.startswith("tokenizer"):
            (tmp_path / file.name).symlink_to(file)

    ended = failed_start(str(tmp_path))

    assert ended.returncode == 1
    assert "has no tokenizer.json" in ended.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tokenizer-mode", "slow"], "TokenizersBackend has no Python implementation"),
        (["--tokenizer-mode", "mistral"], "--tokenizer-mode mistral: not supported yet; use auto or slow"),
        (["--load-format", "gguf"], "--load-format gguf: not supported yet; use auto or safetensors or pt"),
        (["--code-revision", "main"], "--code-revision needs --trust-remote-code"),
        (["--trust-remote-code", "--code-revision", "main"], "is a local folder; leave it out"),
        (["--hf-config-path", "/nowhere"], "--hf-config-path folder '/nowhere' does not exist"),
        (["--model-loader-extra-config", '{"x": 1}'], "load_format 'auto' has no key 'x'"),
        (["--rope-scaling", '{"factor": 2}'], "rope type 'default' has no use for factor"),
        (["--hf-overrides", '{"num_hidden_layers": 0}'], "num_hidden_layers is 0; expected a whole number"),
    ],
)
def test_what_cannot_work_keeps_the_server_from_starting(flags: list[str], message: str) -> None:
    ended = failed_start(str(TINY_MODEL), *flags)

    assert ended.returncode in (1, 2)
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
