"""Adapters that come and go by a list: a keeper fetches them, the server follows, and no request changes either."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from hub import Hub, Repository
from lora_adapters import save_adapter
from serving import ROOT, TINY_MODEL, Serve, free_port
from transformers import AutoModelForCausalLM
from waiting import NotYet, until

KINDS = ("q_proj", "v_proj", "down_proj")
FLAGS = ("--enable-lora", "--max-lora-rank", "8", "--dtype", "float32", "--served-model-name", "tiny")
Row = dict[str, str]


class Keeper:
    """A process, and the list that it looks at."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self._wanted, self.lists, self._port = folder / "wanted.json", folder / "lists", free_port()
        self.lists.mkdir()
        self.want()
        places = ("--wanted", self._wanted, "--cache", folder / "cache", "--lists", self.lists)
        command = (sys.executable, "-m", "paddock.server.fetch.keep_adapters", *places, "--port", self._port)
        environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), "HF_TOKEN": "hf_sesame"}
        self._process = subprocess.Popen(
            [*map(str, command)], env={**os.environ, **environ}, cwd=ROOT, stderr=subprocess.DEVNULL
        )

    def want(self, *names: str) -> None:
        rows = [{"name": name, "uri": f"hf://team/{name}", "entry": f"{name}-1"} for name in names]
        self._wanted.write_text(json.dumps(rows))

    def told(self, name: str) -> Row:
        try:
            rows = json.loads(httpx.get(f"http://127.0.0.1:{self._port}/", timeout=5).text)
        except httpx.TransportError as error:
            raise NotYet(str(error)) from None
        return next((row for row in rows if row["name"] == name), {})

    def state(self, name: str, state: str) -> Row:
        def reached() -> Row:
            if (row := self.told(name)).get("state") == state:
                return row
            raise NotYet(str(row))

        return until(reached, seconds=60, what=f"{name} to be {state}")

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("repositories")
    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32)
    for seed, (name, rank) in enumerate({"good": 4, "other": 4, "wide": 16}.items()):
        save_adapter(model, folder / name, KINDS, rank=rank, seed=seed)
    private = {
        name: Repository({"main": folder / name}, token="hf_sesame") for name in ("good", "other", "wide")
    }
    with Hub(**{f"team__{name}": repository for name, repository in private.items()}) as served:
        yield served


@pytest.fixture
def keeper(hub: Hub, tmp_path: Path) -> Iterator[Keeper]:
    kept = Keeper(tmp_path, hub)
    yield kept
    assert kept.stop() == 0


def names(serve: Serve) -> set[str]:
    return {card["id"] for card in httpx.get(serve.url + "/v1/models", timeout=10).json()["data"]}


def served(keeper: Keeper, tmp_path: Path, *flags: str) -> Serve:
    environ = {"PADDOCK_ADAPTERS_FILE": str(keeper.lists / "served.json")}
    return Serve(tmp_path / "log", *FLAGS, *flags, environ=environ)


def test_what_the_list_names_is_served_from_the_start_and_follows_it(keeper: Keeper, tmp_path: Path) -> None:
    keeper.want("good", "absent", "wide")
    until((keeper.lists / "served.json").exists, seconds=60, what="each to be tried once")

    with served(keeper, tmp_path) as serve:
        assert names(serve) == {"tiny", "good"}
        assert "team/absent" in keeper.told("absent")["message"]
        assert "--max-lora-rank allows 8" in keeper.state("wide", "Failed")["message"]

        keeper.want("other", "absent")
        keeper.state("other", "Loaded")
        until(lambda: names(serve) == {"tiny", "other"}, seconds=20, what="the first to go")

        opened = httpx.post(
            serve.url + "/v1/load_lora_adapter", json={"lora_name": "a", "lora_path": "/a"}, timeout=10
        )
        assert opened.status_code == 404, "clients may not load adapters"


@pytest.mark.long
def test_a_server_that_starts_again_has_them_before_it_is_ready(keeper: Keeper, tmp_path: Path) -> None:
    keeper.want("good", "other")
    until((keeper.lists / "served.json").exists, seconds=60, what="both to be fetched")
    for flags in ((), ("--api-server-count", "2")):
        with served(keeper, tmp_path, *flags) as serve:
            assert all(names(serve) == {"tiny", "good", "other"} for _ in range(12))
