"""Adapters behind the real server: chosen by name, loaded while it runs, alike in every process."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
import torch
from lora_adapters import merged, save_adapter
from serving import TINY_MODEL, Serve, failed_start
from transformers import AutoModelForCausalLM, AutoTokenizer
from waiting import until

PROMPT = "The capital of France"
KINDS = ("q_proj", "v_proj", "o_proj", "gate_proj", "down_proj")
OPEN = {"PADDOCK_ALLOW_RUNTIME_LORA_UPDATING": "1"}
FLAGS = ("--enable-lora", "--max-loras", "2", "--dtype", "float32", "--served-model-name", "tiny")


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """By adapter, what transformers says with it merged; filled by `adapters`."""
    return {}


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]) -> Path:
    """A folder of two."""
    folder = tmp_path_factory.mktemp("adapters")
    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL)
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    for seed, name in enumerate(("first", "second")):
        path = save_adapter(model, folder / name, KINDS, seed=seed, lora_alpha=4)
        with torch.inference_mode():
            out = merged(model, path).generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
            )
        texts[name] = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return folder


def answer(serve: Serve, model: str) -> str:
    client = openai.OpenAI(base_url=serve.url + "/v1", api_key="none", max_retries=0)
    reply = client.completions.create(model=model, prompt=PROMPT, max_tokens=12, temperature=0)
    assert reply.model == model
    return reply.choices[0].text


def names(serve: Serve) -> set[str]:
    return {card["id"] for card in httpx.get(serve.url + "/v1/models", timeout=10).json()["data"]}


def change(serve: Serve, verb: str, name: str, **fields: object) -> httpx.Response:
    return httpx.post(f"{serve.url}/v1/{verb}_lora_adapter", json={"lora_name": name, **fields}, timeout=30)


@pytest.fixture(scope="module")
def serve(adapters: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with Serve(log, *FLAGS, "--lora-modules", f"first={adapters}/first", environ=OPEN) as server:
        yield server


def test_a_preloaded_adapter_and_one_loaded_later_answer_as_transformers_does(
    serve: Serve, adapters: Path, texts: dict[str, str]
) -> None:
    base = answer(serve, "tiny")
    assert change(serve, "load", "second", lora_path=f"{adapters}/second").status_code == 200

    assert names(serve) == {"tiny", "first", "second"}
    assert answer(serve, "first") == texts["first"] != base
    assert answer(serve, "second") == texts["second"] != base
    assert answer(serve, "tiny") == base

    assert change(serve, "unload", "second").status_code == 200
    with pytest.raises(openai.NotFoundError):
        answer(serve, "second")


def test_what_is_wrong_with_an_adapter_is_told_and_hurts_nobody(serve: Serve, adapters: Path) -> None:
    again = change(serve, "load", "first", lora_path=f"{adapters}/first")
    missing = change(serve, "load", "new", lora_path=f"{adapters}/none")
    wrong = change(serve, "load", "new", lora_path=str(TINY_MODEL))

    assert (again.status_code, missing.status_code, wrong.status_code) == (400, 404, 400)
    assert "'first' is loaded already" in again.json()["error"]["message"]
    assert "there is no adapter_config.json" in wrong.json()["error"]["message"]
    assert names(serve) == {"tiny", "first"}


def test_the_metric_shows_that_adapters_are_served(serve: Serve) -> None:
    text = httpx.get(serve.url + "/metrics", timeout=10).text
    assert 'vllm:lora_requests_info{max_lora="2",running_lora_adapters=""' in text


@pytest.mark.long
def test_every_api_server_and_every_replica_serves_the_same_adapters(
    adapters: Path, texts: dict[str, str], tmp_path: Path
) -> None:
    flags = (*FLAGS, "--api-server-count", "2", "--data-parallel-size", "2")
    modules = ("--lora-modules", f"first={adapters}/first")
    with Serve(tmp_path / "log", *flags, *modules, environ=OPEN) as serve:
        change(serve, "load", "second", lora_path=f"{adapters}/second").raise_for_status()
        # Each request is a connection of its own, which any of the two servers may take.
        until(lambda: all("second" in names(serve) for _ in range(12)), seconds=10, what="second is known")
        for _ in range(6):
            assert answer(serve, "first") == texts["first"]
            assert answer(serve, "second") == texts["second"]
        change(serve, "unload", "second").raise_for_status()
        until(lambda: all("second" not in names(serve) for _ in range(12)), seconds=10, what="second is gone")


@pytest.mark.long
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--enable-lora", "--lora-modules", "a=/nowhere"),
            "--lora-modules: The adapter 'a' cannot be loaded",
        ),
        (
            ("--enable-lora", "--served-model-name", "a", "--lora-modules", "a=/x"),
            "'a' is the name of the model",
        ),
        (("--lora-modules", "a=/x"), "--lora-modules needs --enable-lora"),
        (("--enable-lora", "--model-impl", "transformers"), "runs through transformers"),
    ],
)
def test_a_server_that_cannot_serve_its_adapters_says_why_and_does_not_start(
    flags: tuple[str, ...], words: str
) -> None:
    ended = failed_start(str(TINY_MODEL), *flags)

    assert ended.returncode in (1, 2)
    assert words in ended.stderr
