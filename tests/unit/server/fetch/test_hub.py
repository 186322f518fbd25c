"""`paddock fetch hf://…` as a process, from a mirror: HF_ENDPOINT and HF_TOKEN."""

import json
import os
import subprocess
import sys

import pytest
from hub import Hub, Repository

from paddock.engine.config import parse_serve
from paddock.server.fetch.errors import FetchError
from paddock.server.fetch.source import source_of

WEIGHTS = b"weights " * 1_500_000  # the client writes pieces of 10 MiB


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "main"
    folder.mkdir()
    (folder / "config.json").write_text('{"revision": "main"}')
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    return Repository({"main": folder})


@pytest.fixture
def fetch(repo, tmp_path):
    with Hub(owner__model=repo) as hub:

        def run(address, *flags, **environ):
            command = [
                sys.executable,
                "-m",
                "paddock.server",
                "fetch",
                address,
                "--into",
                tmp_path / "entry",
                *flags,
            ]
            ambient = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
            ambient |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), **environ}
            return subprocess.run(
                command, env=ambient, capture_output=True, text=True, timeout=60, check=False
            )

        run.hub = hub
        yield run


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_private_model_comes_at_a_pinned_commit_and_only_what_its_format_reads(fetch, repo, tmp_path):
    repo.token, repo.cut = "hf_sesame", 11_000_000

    done = fetch("hf://owner/model", HF_TOKEN="hf_sesame")

    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "entry" / "model") == ["config.json", "model.safetensors"]
    assert (tmp_path / "entry" / "model" / "model.safetensors").read_bytes() == WEIGHTS
    origin = json.loads((tmp_path / "entry" / "source.json").read_text())
    assert origin["version"] == repo.commit("main")
    assert any(asked for _, path, asked in fetch.hub.requests if path.endswith("model.safetensors")), (
        "resumed"
    )
    assert "hf_sesame" not in done.stdout + done.stderr
    assert done.stdout.strip() == str(tmp_path / "entry" / "model")


def test_weights_that_are_not_what_the_hub_says_are_refused(fetch, repo, tmp_path):
    repo.checksums["model.safetensors"] = "0" * 64

    done = fetch("hf://owner/model@main")

    assert done.returncode == 1
    assert f"and the hub says {'0' * 64}" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "entry" / "model").exists()


@pytest.mark.parametrize(
    ("address", "flags", "words"),
    [
        ("hf://owner", (), "give hf://owner/name"),
        ("hf://owner/model@main", ("--revision", "v2"), "without @"),
        ("https://host/model.tar", (), "needs --sha256"),
        ("ftp://host/model", (), "is no address"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address, flags, words):
    config = parse_serve([*flags], {})

    with pytest.raises(FetchError, match=words):
        source_of(address, None, config.model, config.load)
