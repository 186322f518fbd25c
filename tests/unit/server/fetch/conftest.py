"""A small model's folder, and an archive of it."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping

import pytest

FILES = {"config.json": b'{"model_type": "qwen3"}', "model.safetensors": b"weights " * 40_000}


@pytest.fixture
def pack() -> Callable[..., bytes]:
    """A .tar.gz; the members are those of the model unless a test names others."""

    def make(files: Mapping[str, bytes] = FILES, *members: tarfile.TarInfo) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for member in members:
                archive.addfile(member)
        return packed.getvalue()

    return make


@pytest.fixture
def sha256() -> Callable[[bytes], str]:
    return lambda content: hashlib.sha256(content).hexdigest()
