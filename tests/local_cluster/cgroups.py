"""The cluster's cgroups, in every v1 hierarchy of this machine or in the one of cgroup2.

Each namespace set gets the cgroup paddock-NAME/SET, which becomes the root of its cgroup namespace.
"""

import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
REMOVE_ATTEMPTS = 25


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy. `options` are the mount options that mount it again inside a namespace."""

    path: Path
    kind: str
    options: str

    @property
    def is_v2(self) -> bool:
        return self.kind == "cgroup2"


def hierarchies(mounts: str | None = None) -> list[Hierarchy]:
    """Hierarchies that carry resource controllers, from the text of /proc/mounts.

    v1 comes with a folder per controller set (and perhaps an empty cgroup2 beside them, which is skipped);
    cgroup2 alone is mounted on /sys/fs/cgroup itself.
    """
    text = mounts if mounts is not None else Path("/proc/mounts").read_text()
    found: dict[Path, Hierarchy] = {}
    for line in text.splitlines():
        _, path, kind, flags = line.split()[:4]
        target = Path(path)
        if kind == "cgroup2" and target == ROOT:
            return [Hierarchy(target, kind, "")]
        if kind == "cgroup" and target.parent == ROOT:
            named = [flag for flag in flags.split(",") if flag.startswith("name=")]
            options = f"none,{named[0]}" if named else target.name
            found[target] = Hierarchy(target, kind, options)
    return list(found.values())


class SetCgroup:
    """The cgroup of one namespace set, in every hierarchy."""

    def __init__(self, cluster_cgroup: str, set_name: str) -> None:
        self._parts = (cluster_cgroup, set_name)
        self._hierarchies = hierarchies()

    def create(self) -> None:
        for hierarchy in self._hierarchies:
            folder = hierarchy.path
            for part in self._parts:
                if hierarchy.is_v2:
                    _delegate_controllers(folder)
                folder = folder / part
                folder.mkdir(exist_ok=True)
                if hierarchy.path.name == "cpuset":
                    _inherit_cpus(folder)

    def join_files(self) -> list[Path]:
        """Files to which a process writes its pid to live in this cgroup from the beginning."""
        return [folder / "cgroup.procs" for folder in self._leaves()]

    def make_room_for_children(self) -> None:
        """cgroup2 only: move the set's processes one level down.

        A v2 cgroup that holds processes cannot hand controllers to children, and kubelet needs children.
        """
        for hierarchy in self._hierarchies:
            if hierarchy.is_v2:
                top = hierarchy.path.joinpath(*self._parts)
                leaf = top / "init"
                leaf.mkdir(exist_ok=True)
                for pid in (top / "cgroup.procs").read_text().split():
                    (leaf / "cgroup.procs").write_text(pid)
                _delegate_controllers(top)

    def _leaves(self) -> list[Path]:
        tops = [hierarchy.path.joinpath(*self._parts) for hierarchy in self._hierarchies]
        return [top / "init" if (top / "init").is_dir() else top for top in tops]


def _delegate_controllers(folder: Path) -> None:
    available = (folder / "cgroup.controllers").read_text().split()
    for controller in available:
        # One by one: a controller that this machine refuses must not take the others along.
        try:
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue


def _inherit_cpus(folder: Path) -> None:
    """A new v1 cpuset is empty, and nothing can join it until it names CPUs and memory nodes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        (folder / name).write_text((folder.parent / name).read_text())


def cluster_folders(cluster_cgroup: str) -> list[Path]:
    """Folders of the cluster that exist now, one per hierarchy."""
    folders = [hierarchy.path / cluster_cgroup for hierarchy in hierarchies()]
    return [folder for folder in folders if folder.is_dir()]


def processes_in(cluster_cgroup: str) -> set[int]:
    """Pids that live in any cgroup of the cluster: every process that the cluster ever started."""
    found: set[int] = set()
    for folder in cluster_folders(cluster_cgroup):
        for file in folder.rglob("cgroup.procs"):
            try:
                found.update(int(pid) for pid in file.read_text().split())
            except OSError:  # removed while we looked
                continue
    return found


def remove(cluster_cgroup: str) -> None:
    """Remove the cluster's cgroups, deepest first. The kernel lets go a moment after the last process."""
    for _ in range(REMOVE_ATTEMPTS):
        folders = cluster_folders(cluster_cgroup)
        if not folders:
            return
        for folder in folders:
            for child in sorted(folder.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
                _rmdir(child)
            _rmdir(folder)
        time.sleep(0.1)


def _rmdir(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # still busy, or gone already: the caller looks again
        return
