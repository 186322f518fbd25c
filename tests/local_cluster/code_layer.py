"""Paddock's own code as an image layer: a real copy of its packages under /opt/paddock/src/paddock."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_cluster.commands import Word, run
from local_cluster.errors import ClusterError
from local_cluster.oci_archive import Layer, layer_file, read_layer

PACKAGES = ("engine", "kernels", "operator", "server")
SOURCE_PATH = "opt/paddock/src"
KEY_CHARACTERS = 12


def code_files(repository: Path) -> Iterator[tuple[str, Path]]:
    """Path inside the package and file of everything that makes up Paddock, compiled extensions included.

    The packages are links in src/paddock. Raises ClusterError when one is missing (a checkout without links).
    """
    top = repository / "src" / "paddock"
    for file in sorted(path for path in top.glob("*") if path.is_file()):
        yield file.name, file
    for package in PACKAGES:
        if not (top / package).is_dir():
            raise ClusterError(
                f"{top / package} is no folder; restore the link, for instance: git checkout src/paddock"
            )
        for folder, folders, names in os.walk(top / package):
            folders[:] = sorted(
                name for name in folders if name != "__pycache__" and not name.startswith(".")
            )
            for name in sorted(names):
                file = Path(folder) / name
                if file.suffix != ".pyc":
                    yield str(file.relative_to(top)), file


def code_key(package: Path) -> str:
    """Hash of the paths and contents below `package`."""
    digest = hashlib.sha256()
    for file in sorted(path for path in package.rglob("*") if path.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(package)} {content}\n".encode())
    return digest.hexdigest()


def build_code_layer(
    repository: Path, python: Path, images: Path, site_packages: Sequence[str] = ()
) -> tuple[str, Layer]:
    """The code's key, and its layer in `images`: written unless this key has been before.

    A file in each of `site_packages`, folders of the image, leads Python to the code: PYTHONPATH stays free for the
    modules of users.

    The code is copied before it is hashed, so an edit in between cannot end under another edit's key.
    Bytecode, compiled by `python`, is checked by nothing when it is loaded: containers run on read-only roots and
    could not write their own, and file dates are 1970 in the layer.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "paddock"
        for path, file in code_files(repository):
            (package / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, package / path)
            shutil.copymode(file, package / path)
        key = hashlib.sha256("\n".join([code_key(package), *site_packages]).encode()).hexdigest()
        target = images / f"code-{key[:KEY_CHARACTERS]}.layer"
        if not target.exists():
            compile_all: list[Word] = [
                python,
                "-I",
                "-m",
                "compileall",
                "-q",
                "--invalidation-mode",
                "unchecked-hash",
            ]
            run([*compile_all, "-s", folder, "-p", f"/{SOURCE_PATH}", package])
            with layer_file(target) as layer:
                layer.tree(Path(folder), SOURCE_PATH)
                for path in site_packages:
                    layer.content(f"{path}/paddock-source.pth", f"/{SOURCE_PATH}\n".encode())
            for older in images.glob("code-*.layer"):
                if older != target:
                    older.unlink()
    return key, read_layer(target)
