#!/usr/bin/env python3
"""Build the Dockerfile's targets with buildah: no container engine, no image registry.

    python3 tests/images/build.py operator server       # prints {"operator": NAME, "server": NAME}

The base image is made from Debian packages under its usual name. The host's apt sources and certificate authorities
are lent to the build and end in no image. Images, layers and downloads lie under the cache folder, so that only what
changed is built again.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# The local cluster's modules know the cache folder, apt and how to show progress.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_cluster.commands import Word, run
from local_cluster.directories import REPOSITORY, cache_root
from local_cluster.errors import ClusterError
from local_cluster.installation import locked
from local_cluster.progress import Step, say
from local_cluster.system_packages import install_packages

BASE_IMAGE = "docker.io/library/debian:bookworm-slim"
SUITE = "bookworm"
PACKAGES = ("buildah", "debootstrap", "ca-certificates")
ESTIMATES = {
    "operator": "2 min cold, 5 s when nothing changed",
    "server": "10 min cold, 10 s when nothing changed",
}
NOT_IN_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/log")
APT_CONFIGURATION = ("sources.list", "sources.list.d", "apt.conf.d", "auth.conf.d", "preferences.d")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LEAST_FREE_BYTES = 25 << 30


class Buildah:
    """buildah with a storage of its own under the cache folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"
        self._temporary.mkdir(parents=True, exist_ok=True)

    def __call__(self, *arguments: Word) -> str:
        storage: list[Word] = ["--root", self._root / "storage", "--runroot", self._root / "run"]
        # The cache mounts of the Dockerfile lie under TMPDIR.
        environment = {**os.environ, "TMPDIR": str(self._temporary), "BUILDAH_ISOLATION": "chroot"}
        return run(["buildah", *storage, "--storage-driver", "overlay", *arguments], env=environment)

    def has(self, image: str) -> bool:
        return f" {image} " in f" {' '.join(self('images', '--format', '{{.Name}}:{{.Tag}}').split())} "

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container from a stored image, or from `scratch`."""
        name = self("from", "--pull=never", image).strip()
        try:
            yield name
        finally:
            self("rm", name)


def image_name(target: str) -> str:
    return f"localhost/paddock-{target}:dockerfile"


def build(targets: Sequence[str]) -> dict[str, str]:
    """Build `targets` ("operator", "server") and name their images. Raises ClusterError that says what failed."""
    if os.geteuid() != 0:
        raise ClusterError(
            "building images here needs root: buildah mounts layers and debootstrap makes devices"
        )
    install_packages(PACKAGES, "building images")
    root = cache_root() / "containers"
    root.mkdir(exist_ok=True)
    with locked(root / "build.lock", "another build of images"):
        buildah = storage()
        if not buildah.has(BASE_IMAGE):
            _require_disk(root)
            with Step(f"Making {BASE_IMAGE} from Debian packages", "1 min"):
                _make_base(buildah, root)
        for target in targets:
            with Step(f"Building the Dockerfile's target {target}", ESTIMATES[target]):
                _build_target(buildah, target)
    return {target: image_name(target) for target in targets}


def storage() -> Buildah:
    return Buildah(cache_root() / "containers")


def _require_disk(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < LEAST_FREE_BYTES:
        raise ClusterError(
            f"{root} has {free >> 30} GiB free and a first build takes up to {LEAST_FREE_BYTES >> 30} GiB; "
            "free some space or set PADDOCK_CACHE to a folder on a larger disk"
        )


def _make_base(buildah: Buildah, root: Path) -> None:
    """A minimal Debian, without the name of the mirror that it came from."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        system = Path(folder) / "root"
        mirror = _mirror()
        run(["debootstrap", "--variant=minbase", SUITE, system, *([mirror] if mirror else [])])
        if mirror:
            (system / "etc/apt/sources.list").unlink()
        for path in (*NOT_IN_SLIM, "var/cache/apt", "var/lib/apt/lists"):
            for child in (system / path).iterdir():
                shutil.rmtree(child) if child.is_dir() else child.unlink()
        with buildah.container("scratch") as container:
            buildah("add", "--quiet", container, system, "/")
            buildah("config", "--cmd", "bash", container)
            buildah("commit", "--quiet", container, BASE_IMAGE)


def _mirror() -> str | None:
    """The mirror that this machine's apt uses for the suite; None, for debootstrap's default, on another suite."""
    targets = run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"])
    for line in targets.splitlines():
        release, _, address = line.partition(" ")
        if release == SUITE:
            return address
    return None


def _build_target(buildah: Buildah, target: str) -> None:
    lent: list[Word] = []
    for name in APT_CONFIGURATION:
        if _mirror() and (Path("/etc/apt") / name).exists():
            lent += ["--volume", f"/etc/apt/{name}:/etc/apt/{name}:ro"]
    if CERTIFICATES.exists():
        lent += ["--secret", f"id=ca-bundle,src={CERTIFICATES}"]
    options: list[Word] = ["--layers", "--pull=never", "--target", target, "--tag", image_name(target)]
    buildah("build", *options, *lent, "--file", REPOSITORY / "Dockerfile", REPOSITORY)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="build.py", description="Build the Dockerfile's targets.")
    parser.add_argument("targets", nargs="+", choices=sorted(ESTIMATES), metavar="TARGET")
    try:
        print(json.dumps(build(parser.parse_args(argv).targets)))
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
