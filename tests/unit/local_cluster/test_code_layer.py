"""Paddock's code in an image: complete, real files, and a key that follows the content."""

import sys
import tarfile
from pathlib import Path

import pytest
from local_cluster.code_layer import PACKAGES, build_code_layer
from local_cluster.errors import ClusterError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout in small: four folders, and links to them in src/paddock."""
    top = tmp_path / "checkout"
    (top / "src" / "paddock").mkdir(parents=True)
    (top / "src" / "paddock" / "__init__.py").write_text("__version__ = '1'\n")
    for package in PACKAGES:
        (top / package / "__pycache__").mkdir(parents=True)
        (top / package / "module.py").write_text(f"NAME = {package!r}\n")
        (top / package / "__pycache__" / "stale.pyc").write_text("stale")
        (top / "src" / "paddock" / package).symlink_to(f"../../{package}")
    (top / "kernels" / "_native.so").write_bytes(b"compiled")
    return top


def build(repository: Path, images: Path) -> tuple[str, list[tarfile.TarInfo]]:
    images.mkdir(exist_ok=True)
    key, layer = build_code_layer(repository, Path(sys.executable), images)
    with tarfile.open(layer.file) as tar:
        return key, tar.getmembers()


def test_the_layer_holds_real_files_of_all_four_packages(repository: Path, tmp_path: Path) -> None:
    _, entries = build(repository, tmp_path / "images")

    names = {entry.name for entry in entries if entry.isreg()}
    assert not any(entry.issym() for entry in entries)
    assert {f"opt/paddock/src/paddock/{package}/module.py" for package in PACKAGES} <= names
    assert "opt/paddock/src/paddock/kernels/_native.so" in names


def test_bytecode_is_compiled_anew(repository: Path, tmp_path: Path) -> None:
    _, entries = build(repository, tmp_path / "images")

    compiled = [entry.name for entry in entries if entry.name.endswith(".pyc")]
    assert len(compiled) == len(PACKAGES) + 1
    assert not any("stale" in name for name in compiled)


def test_the_key_changes_with_the_code_and_with_nothing_else(repository: Path, tmp_path: Path) -> None:
    before, _ = build(repository, tmp_path / "images")
    (repository / "engine" / "__pycache__" / "module.pyc").write_text("new bytecode")
    (repository / "README.md").write_text("text")
    same, _ = build(repository, tmp_path / "images")
    (repository / "engine" / "module.py").write_text("NAME = 'changed'\n")
    after, _ = build(repository, tmp_path / "images")

    assert before == same
    assert after != before


def test_a_checkout_without_links_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "src" / "paddock" / "operator").unlink()

    with pytest.raises(ClusterError, match=r"restore the link"):
        build(repository, tmp_path / "images")
