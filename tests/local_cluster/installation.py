"""Everything that a cluster needs on this machine, made once and found again by content."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_cluster.commands import run
from local_cluster.directories import SOURCES, cache_root
from local_cluster.errors import ClusterError
from local_cluster.go_programs import FAMILIES, KEY_CHARACTERS, Family, build_family
from local_cluster.oci_archive import ImageConfig, layer_file, read_layer, write_archive
from local_cluster.progress import say
from local_cluster.system_packages import CLUSTER_PACKAGES, install_packages

NONROOT = "65532"
LEAST_FREE_BYTES = 5 << 30


@dataclass(frozen=True)
class Installation:
    """`tools`: one folder with every program. `archives`: image name to OCI archive, loaded on every node."""

    tools: Path
    archives: dict[str, Path]


def install() -> Installation:
    """Install what is missing; seconds when nothing is. Safe beside another install on the same machine."""
    if os.geteuid() != 0:
        raise ClusterError("the local cluster needs root: it creates namespaces, network links and cgroups")
    root = cache_root()
    install_packages(CLUSTER_PACKAGES, "the local cluster")
    programs, images = root / "programs", root / "images"
    programs.mkdir(exist_ok=True)
    images.mkdir(exist_ok=True)
    with locked(root / "install.lock", "another install"):
        _require_disk(root)
        folders = [build_family(family, programs) for family in FAMILIES]
        folders.append(_build_pause(programs))
        tools = _link_together(root / "tools", folders)
        return Installation(tools, _system_images(images, tools))


def program(family: Family, name: str) -> Path:
    """One of the programs that only some tests need, built when first asked for."""
    programs = cache_root() / "programs"
    programs.mkdir(exist_ok=True)
    with locked(cache_root() / "install.lock", "an install"):
        return build_family(family, programs) / name


@contextmanager
def locked(file: Path, holder: str) -> Iterator[None]:
    """Hold a lock file; say who is waited for when somebody else has it."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for {holder} to finish ({file})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _require_disk(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < LEAST_FREE_BYTES and not any((root / "tools").glob("*")):
        raise ClusterError(
            f"{root} has {free >> 20} MiB free and building the cluster's programs takes {LEAST_FREE_BYTES >> 20} MiB; "
            "free some space or set PADDOCK_CACHE to a folder on a larger disk"
        )


def _build_pause(programs: Path) -> Path:
    source = SOURCES / "pause.c"
    target = programs / f"pause-{hashlib.sha256(source.read_bytes()).hexdigest()[:KEY_CHARACTERS]}"
    if not (target / "pause").exists():
        target.mkdir(exist_ok=True)
        partial = target / ".pause.partial"
        run(["gcc", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-o", partial, source])
        partial.rename(target / "pause")
    return target


def _link_together(tools: Path, folders: list[Path]) -> Path:
    """A folder of links to the programs of `folders`: a cluster keeps its set while newer ones are built."""
    key = hashlib.sha256("\n".join(folder.name for folder in folders).encode()).hexdigest()[:KEY_CHARACTERS]
    target = tools / key
    if not target.is_dir():
        partial = tools / f".{key}.{os.getpid()}.partial"
        partial.mkdir(parents=True)
        for folder in folders:
            for program in folder.iterdir():
                (partial / program.name).symlink_to(program)
        partial.rename(target)
    return target


def _system_images(images: Path, tools: Path) -> dict[str, Path]:
    """Images of one static program each: the pod sandbox, and CoreDNS."""
    return dict(_image_of(images, (tools / program).resolve()) for program in ("pause", "coredns"))


def program_image(family: Family, name: str) -> tuple[str, Path]:
    """An image, and its OCI archive, of a program that only some tests need; made when first asked for."""
    images = cache_root() / "images"
    images.mkdir(exist_ok=True)
    binary = program(family, name)
    with locked(cache_root() / "install.lock", "an install"):
        return _image_of(images, binary)


def _image_of(images: Path, binary: Path) -> tuple[str, Path]:
    """Runs the program as its entrypoint; where a family has several, each image is named after both."""
    family, _, key = binary.parent.name.rpartition("-")
    path = (binary.name,) if binary.name == family else (family, binary.name)
    name = f"localhost/{'/'.join(path)}:{key}"
    archive = images / f"{'-'.join(path)}-{key}.tar"
    if not archive.exists():
        _write_program_image(archive, name, binary)
    return name, archive


def _write_program_image(archive: Path, name: str, binary: Path) -> None:
    file = archive.with_suffix(".layer")
    with layer_file(file) as layer:
        layer.content("etc/passwd", f"nonroot:x:{NONROOT}:{NONROOT}::/:/sbin/nologin\n".encode())
        layer.tree(binary, binary.name)
    entrypoint = ImageConfig(entrypoint=[f"/{binary.name}"], user=f"{NONROOT}:{NONROOT}")
    write_archive(archive, name, [read_layer(file)], entrypoint)
    file.unlink()
