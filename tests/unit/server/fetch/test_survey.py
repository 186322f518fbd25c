"""What a model is, read where it lies: by ranges from a hub and from archives, and never its weights."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from archive_server import ArchiveServer, Served
from certificates import Authority
from hub import Hub, Repository
from safetensors.numpy import save

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.server.fetch.archive import ArchiveSource
from paddock.server.fetch.errors import FetchError
from paddock.server.fetch.hub import HubSource
from paddock.server.fetch.survey import LARGEST_SURVEY_BYTES, Folder, survey

CONFIG = {"architectures": ["Qwen3ForCausalLM"], "hidden_size": 64, "id2label": {}, "dtype": "bfloat16"}
TOLD = {
    "config": {"architectures": ["Qwen3ForCausalLM"], "dtype": "bfloat16", "hidden_size": 64},
    "elements": {"F16": 300_000, "I8": 7},
}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "model-1.safetensors": save({"a": np.zeros((300, 1000), np.float16)}),
    "model-2.safetensors": save({"b": np.zeros(7, np.int8)}, metadata={"format": "pt"}),
}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "files"
    path.mkdir()
    for name, content in FILES.items():
        (path / name).write_bytes(content)
    return path


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"./tiny/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_folder_tells_the_fields_that_sizes_follow_from(folder):
    assert json.loads(survey(Folder(folder))) == TOLD


def test_a_hub_is_asked_for_parts_of_its_weights_only(folder):
    with Hub(team__tiny=Repository({"main": folder}, token="hf_sesame")) as hub:
        environ = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_sesame"}
        into = folder.parent / "entry"
        command = (sys.executable, "-m", "paddock.server", "fetch", "hf://team/tiny", "--into", into)
        subprocess.run(
            [*command, "--survey", folder.parent / "told"],
            env={**os.environ, **environ},
            check=True,
            timeout=60,
        )

        assert json.loads((folder.parent / "told").read_text()) == TOLD
        asked = [each for each in hub.requests if each[1].endswith(".safetensors")]
        assert asked
        assert all(part and int(part.rpartition("-")[2]) < 1000 for _, _, part in asked)
        assert not (into / "model").exists()


@pytest.mark.parametrize(("name", "pack"), [("model.tar", tar), ("model.zip", zipped)])
def test_an_archive_is_read_where_it_lies(name, pack, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    content = pack()
    with ArchiveServer(authority.sign("archives")) as server:
        served = server.files[f"/{name}"] = Served(content)

        assert json.loads(survey(ArchiveSource(f"{server.url}/{name}", "0" * 64))) == TOLD
        parts = [each.removeprefix("bytes=").partition("-") for each in served.ranges if each]
        assert sum(int(last) - int(first) + 1 for first, _, last in parts) < len(content)


def test_an_archive_that_is_compressed_as_a_whole_tells_nothing():
    with pytest.raises(FetchError, match="can only be read whole"):
        survey(ArchiveSource("https://models.example/model.tar.gz", "0" * 64))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"["),
        ("config.json", b""),
        ("model-1.safetensors", b"\xff" * 64),
        ("model-1.safetensors", (9).to_bytes(8, "little") + b'{"a": 17}'),
        ("model-1.safetensors", b"abc"),
    ],
)
def test_files_that_are_none_of_a_model_are_an_error_in_words(folder, name, content):
    (folder / name).write_bytes(content)

    with pytest.raises(FetchError, match=name):
        survey(Folder(folder))


def test_what_is_too_long_for_last_words_is_told_without_the_configuration(folder):
    wide = {**CONFIG, "quantization_config": {"ignore": ["layer"] * LARGEST_SURVEY_BYTES}}
    (folder / "config.json").write_text(json.dumps(wide))

    assert json.loads(survey(Folder(folder))) == TOLD | {"config": {}}


def test_an_address_that_is_none_is_an_error_in_words():
    with pytest.raises(FetchError):
        survey(HubSource.of("hf://team", ModelConfig(), LoadConfig()))
