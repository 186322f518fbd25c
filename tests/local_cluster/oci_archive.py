"""Write OCI image archives (image-spec 1.1) without a registry or a container engine.

Layers are uncompressed, owned by root and dated 1970, so the same input gives the same digests on every machine.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image"
CHUNK_BYTES = 1 << 22
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer: its file, its digest (sha256:…) and its size in bytes."""

    file: Path
    digest: str
    size: int


@dataclass(frozen=True)
class ImageConfig:
    """What a container runs when its pod says nothing else."""

    entrypoint: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_directory: str = "/"


class LayerWriter:
    """Collects a layer's entries. Paths inside the layer are relative to the image's root."""

    def __init__(self, file: Path) -> None:
        self._tar = tarfile.open(file, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 (layer_file closes it)

    def folder(self, path: str, mode: int = 0o755) -> None:
        self._entry(path, tarfile.DIRTYPE, mode)

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        entry = _entry(path, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        self._tar.addfile(entry)

    def content(self, path: str, content: bytes, mode: int = 0o644) -> None:
        entry = _entry(path, tarfile.REGTYPE, mode)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))

    def tree(self, source: Path, path: str) -> None:
        """A file, or a folder with everything below it; links are followed, so no entry points outside."""
        if source.is_dir():
            if path:
                self.folder(path)
            for child in sorted(source.iterdir()):
                self.tree(child, f"{path}/{child.name}".lstrip("/"))
            return
        entry = _entry(path, tarfile.REGTYPE, 0o755 if os.access(source, os.X_OK) else 0o644)
        with source.open("rb") as content:
            entry.size = os.fstat(content.fileno()).st_size
            self._tar.addfile(entry, content)

    def _entry(self, path: str, kind: bytes, mode: int) -> None:
        self._tar.addfile(_entry(path, kind, mode))

    def close(self) -> None:
        self._tar.close()


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, mode
    return entry


@contextmanager
def layer_file(file: Path) -> Iterator[LayerWriter]:
    """Write a layer to `file`; it appears there only when it is whole."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    writer = LayerWriter(partial)
    try:
        yield writer
        writer.close()
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)


def read_layer(file: Path) -> Layer:
    """The layer that a finished file holds."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    return Layer(file, f"sha256:{digest.hexdigest()}", file.stat().st_size)


def chain_ids(layers: Sequence[Layer]) -> list[str]:
    """The name of the snapshot that holds layers 0 to i, for every i (image-spec, "Layer ChainID")."""
    chain: list[str] = []
    for layer in layers:
        joined = f"{chain[-1]} {layer.digest}" if chain else ""
        chain.append(f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}" if joined else layer.digest)
    return chain


def write_archive(file: Path, name: str, layers: Sequence[Layer], config: ImageConfig) -> None:
    """Write an archive that `ctr images import` loads as `name` (REPOSITORY:TAG)."""
    architecture = ARCHITECTURES[os.uname().machine]
    blobs: dict[str, bytes] = {}

    def blob(value: Any, kind: str) -> dict[str, Any]:
        content = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    configuration = blob(_config(config, layers, architecture), "config.v1+json")
    contents = [
        {"mediaType": f"{MEDIA}.layer.v1.tar", "digest": layer.digest, "size": layer.size} for layer in layers
    ]
    manifest = {"schemaVersion": 2, "mediaType": f"{MEDIA}.manifest.v1+json", "config": configuration}
    described = blob({**manifest, "layers": contents}, "manifest.v1+json")
    described["platform"] = {"architecture": architecture, "os": "linux"}
    described["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    index = {"schemaVersion": 2, "mediaType": f"{MEDIA}.index.v1+json", "manifests": [described]}
    with layer_file(file) as archive:
        archive.content("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        archive.content("index.json", json.dumps(index, sort_keys=True).encode())
        for digest, content in blobs.items():
            archive.content(f"blobs/sha256/{digest}", content)
        for layer in {layer.digest: layer for layer in layers}.values():
            archive.tree(layer.file, f"blobs/sha256/{layer.digest.removeprefix('sha256:')}")


def _config(config: ImageConfig, layers: Sequence[Layer], architecture: str) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": list(config.entrypoint) or None,
            "Env": [f"{key}={value}" for key, value in config.environment.items()],
            "User": config.user,
            "WorkingDir": config.working_directory,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }


def unpack_layer(layer: Layer, folder: Path) -> None:
    """Unpack one of our own layers into a folder that exists."""
    with tarfile.open(layer.file) as tar:
        tar.extractall(folder)
