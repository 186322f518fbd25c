"""A server of a model that brings its own code: what runs where, and what is said without the flag."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from custom_code import write_model, write_tokenizer
from hub import Hub, Repository
from serving import Serve, failed_start

MARK = "import os, pathlib\npathlib.Path({folder!r}, f'{{__name__.rpartition(\".\")[2]}}-{{os.getpid()}}').touch()\n"
TOKEN = "hf_own"
GREEDY = {"prompt": "Once upon", "max_tokens": 8, "temperature": 0}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each import of a repository's module leaves a file here, with the module's name and the process."""
    return tmp_path_factory.mktemp("ran")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, ran: Path) -> Iterator[Hub]:
    """The private owner/model, whose tokenizer's code reads upper case in v2."""
    root = tmp_path_factory.mktemp("repositories")
    for revision, change in (("main", "text"), ("v2", "text.upper()")):
        write_model(root / revision)
        write_tokenizer(root / revision, change)
        for file in (root / revision).glob("*.py"):
            file.write_text(MARK.format(folder=str(ran)) + file.read_text())
    with Hub(owner__model=Repository({"main": root / "main", "v2": root / "v2"}, TOKEN)) as hub:
        yield hub


@pytest.fixture(scope="module")
def environ(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    root = {"PADDOCK_CACHE_ROOT": str(home / "cache"), "HF_MODULES_CACHE": ""}
    return {**root, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": "", "HF_ENDPOINT": hub.url}


@pytest.fixture(scope="module")
def served(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    log = tmp_path_factory.mktemp("served") / "log"
    flags = ("--trust-remote-code", "--code-revision", "v2", "--hf-token", TOKEN)
    with Serve(log, *flags, model=Path("owner/model"), environ=environ) as served:
        yield served


def test_the_model_runs_in_the_engine_and_its_tokenizer_alone_in_the_server(served: Serve, ran: Path) -> None:
    files = {file.name for file in ran.iterdir()}

    server, engine = served.process.pid, served.engine_pid()
    assert files == {
        f"tokenization_own-{server}",
        f"configuration_own-{engine}",
        f"modeling_own-{engine}",
    }


def test_text_goes_through_the_repositorys_tokenizer_of_the_code_revision(served: Serve) -> None:
    tokens = httpx.post(served.url + "/tokenize", json={"prompt": "ab"}, timeout=60).json()["tokens"]
    reply = httpx.post(served.url + "/v1/completions", json=GREEDY | {"logprobs": 0}, timeout=60).json()

    assert tokens == [ord("A") - 32, ord("B") - 32]
    choice = reply["choices"][0]
    assert reply["usage"]["completion_tokens"] == 8
    assert choice["text"] == "".join(choice["logprobs"]["tokens"])


def test_a_stream_carries_the_same_text(served: Serve) -> None:
    whole = httpx.post(served.url + "/v1/completions", json=GREEDY, timeout=60).json()["choices"][0]["text"]
    streamed = ""
    with httpx.stream("POST", served.url + "/v1/completions", json=GREEDY | {"stream": True}) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                body = httpx.Response(200, text=line.removeprefix("data: ")).json()
                streamed += "".join(choice["text"] for choice in body["choices"])

    assert streamed == whole != ""


def test_the_code_is_copied_into_the_cache_root(served: Serve, environ: dict[str, str]) -> None:
    copies = Path(environ["PADDOCK_CACHE_ROOT"]).rglob("modeling_own.py")

    assert len(list(copies)) == 1
    assert not (Path(environ["HF_HOME"]) / "modules").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--trust-remote-code if it is code in the model's repository"),
        (
            ["--skip-tokenizer-init"],
            "OwnForCausalLM is code of the model's own repository (modeling_own.OwnForCausalLM)",
        ),
    ],
)
def test_without_the_flag_the_server_names_it_and_runs_nothing(
    flags: list[str], message: str, environ: dict[str, str], ran: Path
) -> None:
    before = os.listdir(ran)

    ended = failed_start("owner/model", "--hf-token", TOKEN, *flags, environ=environ)

    assert ended.returncode == 1
    assert message in ended.stderr
    assert "--trust-remote-code" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert os.listdir(ran) == before
