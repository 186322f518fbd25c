"""OCI archives: what they hold, and that the same input gives the same digests."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from local_cluster.oci_archive import ImageConfig, Layer, chain_ids, layer_file, read_layer, write_archive


def small_layer(file: Path, text: bytes = b"hello") -> Layer:
    with layer_file(file) as layer:
        layer.folder("tmp", 0o1777)
        layer.content("etc/greeting", text)
        layer.link("bin", "usr/bin")
    return read_layer(file)


def blob(archive: tarfile.TarFile, digest: str) -> bytes:
    file = archive.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
    assert file is not None
    content = file.read()
    assert hashlib.sha256(content).hexdigest() == digest.removeprefix("sha256:")
    return content


def index_of(archive: tarfile.TarFile) -> dict[str, Any]:
    file = archive.extractfile("index.json")
    assert file is not None
    index: dict[str, Any] = json.load(file)
    return index


def test_every_descriptor_names_the_blob_that_it_describes(tmp_path: Path) -> None:
    layers = [small_layer(tmp_path / "a.layer"), small_layer(tmp_path / "b.layer", b"other")]
    config = ImageConfig(entrypoint=["python", "-m", "x"], environment={"A": "1"}, user="65532:65532")

    write_archive(tmp_path / "image.tar", "localhost/x:1", layers, config)

    with tarfile.open(tmp_path / "image.tar") as archive:
        (descriptor,) = index_of(archive)["manifests"]
        manifest = json.loads(blob(archive, descriptor["digest"]))
        image = json.loads(blob(archive, manifest["config"]["digest"]))
        sizes = [len(blob(archive, layer["digest"])) for layer in manifest["layers"]]
    assert descriptor["annotations"]["io.containerd.image.name"] == "localhost/x:1"
    assert sizes == [layer["size"] for layer in manifest["layers"]]
    assert image["rootfs"]["diff_ids"] == [layer.digest for layer in layers]
    assert image["config"]["Entrypoint"] == ["python", "-m", "x"]
    assert image["config"]["User"] == "65532:65532"


def test_the_same_tree_gives_the_same_layer_whenever_it_was_written(tmp_path: Path) -> None:
    digests = []
    for name in ("first", "second"):
        tree = tmp_path / name
        (tree / "inner").mkdir(parents=True)
        (tree / "inner" / "file").write_text("content")
        with layer_file(tmp_path / f"{name}.layer") as layer:
            layer.tree(tree, "app")
        digests.append(read_layer(tmp_path / f"{name}.layer").digest)

    assert digests[0] == digests[1]


def test_links_in_a_tree_become_what_they_point_to(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("real content")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")

    with layer_file(tmp_path / "x.layer") as layer:
        layer.tree(tmp_path / "tree", "")

    with tarfile.open(tmp_path / "x.layer") as tar:
        entry = tar.getmember("link")
    assert entry.isreg()
    assert entry.size == len("real content")


def test_entries_belong_to_root_and_keep_only_the_executable_bit(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)

    with layer_file(tmp_path / "x.layer") as layer:
        layer.tree(program, "program")

    with tarfile.open(tmp_path / "x.layer") as tar:
        entry = tar.getmember("program")
    assert (entry.uid, entry.gid, entry.mode, entry.mtime) == (0, 0, 0o755, 0)


def test_a_layer_that_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), layer_file(tmp_path / "x.layer") as layer:
        layer.tree(tmp_path / "absent", "absent")

    assert list(tmp_path.iterdir()) == []


def test_chain_ids_follow_the_image_specification(tmp_path: Path) -> None:
    first, second = Layer(tmp_path, "sha256:aa", 1), Layer(tmp_path, "sha256:bb", 1)

    joined = hashlib.sha256(b"sha256:aa sha256:bb").hexdigest()

    assert chain_ids([first, second]) == ["sha256:aa", f"sha256:{joined}"]
