"""Paddock's operator and server images for the local cluster: real containers, made in seconds.

Three layers each: the virtual environment, the system's programs and libraries with Python (both by hard links, see
linked_layer), and Paddock's code. A change of code makes a new code layer only. The tag is a hash of the content.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_cluster.code_layer import build_code_layer
from local_cluster.commands import run
from local_cluster.directories import REPOSITORY, cache_root
from local_cluster.installation import NONROOT, locked
from local_cluster.linked_layer import LinkedLayer, ensure_snapshot
from local_cluster.node import Node
from local_cluster.oci_archive import ImageConfig, Layer, chain_ids, layer_file, read_layer, write_archive
from local_cluster.progress import Step
from local_cluster.python_environment import PythonEnvironment, operator_environment
from local_cluster.running_cluster import Cluster

TAG_CHARACTERS = 12
MACHINE = os.uname().machine
SYSTEM_FOLDERS = (Path("/usr/bin"), Path(f"/usr/lib/{MACHINE}-linux-gnu"), Path("/usr/lib64"))
ENVIRONMENTS = Path("/opt/paddock")
"""The image's folder of virtual environments: a clone may lie below /tmp, which pods mount over."""

MERGED_INTO_USR = ("bin", "lib", "lib64", "sbin")
USERS = f"root:x:0:0:root:/:/usr/sbin/nologin\nnonroot:x:{NONROOT}:{NONROOT}:nonroot:/tmp:/usr/sbin/nologin\n"
GROUPS = f"root:x:0:\nnonroot:x:{NONROOT}:\n"


def build_images(cluster: Cluster, checkout: Path = REPOSITORY) -> dict[str, str]:
    """Load both images into every node; {"operator": NAME:TAG, "server": NAME:TAG}.

    `checkout`: whose code goes in; the environments are this one's.
    """
    environments = compiled_environments()
    images = cache_root() / "images"
    loading = Step("Loading Paddock's images", "20 s after a change of dependencies, else 2 s")
    with locked(images / ".paddock.lock", "another build of images"), loading:
        python = environments["server"].folder / "bin" / "python"
        paths = [_site_packages(environment) for environment in environments.values()]
        code = build_code_layer(checkout, python, images, paths)
        return {name: _load(cluster, name, images, one, code) for name, one in environments.items()}


def compiled_environments() -> dict[str, PythonEnvironment]:
    """What "operator" and "server" run in. Without compiled bytecode an import of torch takes twice as long."""
    with locked(cache_root() / "environments.lock", "another command that compiles"):
        environments = {
            "operator": operator_environment(REPOSITORY),
            "server": PythonEnvironment.of(REPOSITORY / ".venv"),
        }
        for environment in environments.values():
            environment.compile_bytecode()
        return environments


def _site_packages(environment: PythonEnvironment) -> str:
    """Where the image has the environment's packages, without a leading slash."""
    [packages] = environment.folder.glob("lib/python*/site-packages")
    inside = packages.relative_to(environment.folder)
    return str(ENVIRONMENTS / environment.folder.name / inside).lstrip("/")


def _load(
    cluster: Cluster, component: str, images: Path, environment: PythonEnvironment, code: tuple[str, Layer]
) -> str:
    code_key, code_layer = code
    system = _system_key(environment)
    keys = (system, environment.content_key(), code_key, component)
    tag = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:TAG_CHARACTERS]
    name = f"localhost/paddock-{component}:{tag}"
    archive = images / f"paddock-{component}.tar"
    wanting = [node for node in cluster.nodes if name not in node.images()]
    if wanting:
        # The environment, with the most files, lies lowest: an update of system packages does not link it again.
        linked = [_environment_layer(images, environment), _system_layer(images, environment, system)]
        layers = [*(one.stand_in for one in linked), code_layer]
        write_archive(archive, name, layers, image_config(component, ENVIRONMENTS / environment.folder.name))
        with ThreadPoolExecutor(len(wanting)) as pool:
            list(pool.map(lambda node: _load_node(node, linked, layers, archive), wanting))
    return name


def _load_node(node: Node, linked: Sequence[LinkedLayer], layers: Sequence[Layer], archive: Path) -> None:
    parent = ""
    for one, chain_id in zip(linked, chain_ids(layers), strict=False):
        ensure_snapshot(node, one, chain_id, parent)
        parent = chain_id
    node.ctr("images", "import", archive)


def image_config(component: str, environment: Path) -> ImageConfig:
    """Runs `python -m paddock.COMPONENT` as a user without rights; writes nowhere but /tmp."""
    return ImageConfig(
        entrypoint=("python", "-m", f"paddock.{component}"),
        environment={
            "PATH": f"{environment}/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
        },
        user=f"{NONROOT}:{NONROOT}",
        working_directory="/tmp",
    )


def _system_key(environment: PythonEnvironment) -> str:
    packages = run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n"])
    return hashlib.sha256(f"{packages}{environment.base_prefix} {environment.version}".encode()).hexdigest()


def _system_layer(images: Path, environment: PythonEnvironment, key: str) -> LinkedLayer:
    file = images / f"system-{key[:TAG_CHARACTERS]}.layer"
    if not file.exists():
        with layer_file(file) as layer:
            for folder in ("dev", "proc", "sys", "run", "etc", "var", "opt"):
                layer.folder(folder)
            for folder in ("tmp", "var/tmp"):
                layer.folder(folder, 0o1777)
            for name in MERGED_INTO_USR:
                layer.link(name, f"usr/{name}")
            if environment.base_prefix.is_symlink():
                layer.link(str(environment.base_prefix).lstrip("/"), str(environment.base_prefix.resolve()))
            layer.content("etc/passwd", USERS.encode())
            layer.content("etc/group", GROUPS.encode())
            # Without this file the C library asks the name server before /etc/hosts.
            layer.content("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
            layer.content("etc/paddock-system", key.encode())
    folders = [folder for folder in SYSTEM_FOLDERS if folder.is_dir()]
    return LinkedLayer(read_layer(file), (*folders, *environment.installation_paths()))


def _environment_layer(images: Path, environment: PythonEnvironment) -> LinkedLayer:
    key = environment.content_key()
    file = images / f"environment-{key[:TAG_CHARACTERS]}.layer"
    if not file.exists():
        with layer_file(file) as layer:
            layer.folder("etc")
            layer.content("etc/paddock-environment", key.encode())
    return LinkedLayer(read_layer(file), (environment.folder,), ENVIRONMENTS)
