"""`paddock fetch s3://…` against a real S3 server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from installed import MODEL
from s3_server import S3Server

from paddock.server.fetch.bucket import BucketSource
from paddock.server.fetch.survey import Folder, survey

pytestmark = pytest.mark.long

Fetch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Bucket `models` holds the tiny model at team/tiny."""
    with S3Server(tmp_path_factory.mktemp("s3"), "models") as running:
        running.upload("models", MODEL, "team/tiny")
        yield running


@pytest.fixture
def fetch(server: S3Server, tmp_path: Path) -> Fetch:
    def run(address: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "paddock.server",
            "fetch",
            address,
            "--into",
            str(tmp_path / "entry"),
        ]
        ambient = {**os.environ, **server.environ, **environ}
        return subprocess.run(command, env=ambient, capture_output=True, text=True, timeout=90, check=False)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder_of_a_bucket_becomes_the_model(fetch: Fetch, tmp_path: Path) -> None:
    done = fetch("s3://models/team/tiny/")

    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "entry" / "model") == contents(MODEL)


def test_what_a_model_is_can_be_read_in_the_bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    source = BucketSource.of("s3://models/team/tiny", server.environ)
    source.resolve()

    assert survey(source) == survey(Folder(MODEL))


def test_a_file_that_was_begun_is_gone_on_with(
    fetch: Fetch, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    version = BucketSource.of("s3://models/team/tiny").resolve()
    begun = tmp_path / "entry" / f"download-{version[:16]}" / "model.safetensors"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"X" * 1000)

    assert fetch("s3://models/team/tiny").returncode == 0

    weights = (MODEL / "model.safetensors").read_bytes()
    assert (tmp_path / "entry" / "model" / "model.safetensors").read_bytes() == b"X" * 1000 + weights[1000:]


@pytest.mark.parametrize(
    ("address", "secret", "words"),
    [
        ("s3://models/team/tiny", "wrong-secret", "refuses the credentials"),
        ("s3://models/nothing/here", "sesame-sesame", "holds no object"),
        ("s3://no-such-bucket/tiny", "sesame-sesame", "no such bucket"),
    ],
)
def test_what_is_wrong_is_said_without_a_secret(fetch: Fetch, address: str, secret: str, words: str) -> None:
    done = fetch(address, AWS_SECRET_ACCESS_KEY=secret)

    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert secret not in done.stdout + done.stderr


def test_a_server_that_is_not_there_is_said(fetch: Fetch) -> None:
    done = fetch("s3://models/team/tiny", AWS_ENDPOINT_URL="http://127.0.0.1:9")

    assert done.returncode == 1
    assert "s3://models/team/tiny" in done.stderr.splitlines()[-1]
    assert "sesame" not in done.stderr
