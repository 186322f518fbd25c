"""Image layers whose files are hard links to folders that are already on this disk.

An image with torch weighs gigabytes; packing, hashing and unpacking it takes minutes per node. containerd skips
unpacking where the snapshot named by a layer's chain ID exists, so that snapshot is made here: links, no bytes. The
archive carries only a small stand-in layer that gives the snapshot its name.
Replacing a linked file on the host (as pip, apt and git do) leaves the image as it was; writing into it does not.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from local_cluster.commands import run
from local_cluster.errors import ClusterError
from local_cluster.node import Node
from local_cluster.oci_archive import Layer, unpack_layer

SNAPSHOT_FOLDER = re.compile(r"(?:upperdir=|bind )/var/lib/(?P<below>[^\s,]+/fs)")
GARBAGE_ROOT = "containerd.io/gc.root"


@dataclass(frozen=True)
class LinkedLayer:
    """`stand_in` is what the archive carries. `paths` are absolute, and the same in the image unless `into` names
    the image's folder that holds them."""

    stand_in: Layer
    paths: tuple[Path, ...]
    into: Path | None = None


def ensure_snapshot(node: Node, linked: LinkedLayer, chain_id: str, parent: str) -> None:
    """Make the snapshot `chain_id` on top of `parent` ("" for none), unless the node has it.

    It is held against containerd's garbage collection for ever: nothing could bring its files back.
    """
    known = {line.split()[0] for line in node.ctr("snapshots", "ls").splitlines()[1:]}
    if chain_id in known:
        return
    key = f"linking-{chain_id}"
    if key in known:  # an interrupted attempt
        node.ctr("snapshots", "rm", key)
    node.ctr("snapshots", "prepare", key, *([parent] if parent else []))
    folder = _host_folder(node, node.ctr("snapshots", "mounts", "/target", key))
    unpack_layer(linked.stand_in, folder)
    link_trees(linked.paths, folder, linked.into)
    node.ctr("snapshots", "commit", chain_id, key)
    node.ctr("snapshots", "label", chain_id, f"{GARBAGE_ROOT}=paddock")


def _host_folder(node: Node, mounts: str) -> Path:
    """Where the snapshot lies for the host: link(2) refuses to cross mounts, so links are made from outside."""
    found = SNAPSHOT_FOLDER.search(mounts)
    if found is None:
        raise ClusterError(f"containerd on {node.name} names no folder for a new snapshot: {mounts!r}")
    return node.folder / "lib" / found["below"]


def link_trees(sources: Iterable[Path], root: Path, into: Path | None = None) -> None:
    """Put files and folders at the same paths below `root`, or into its folder `into`: links on one disk, copies
    where the disks differ."""
    for parent, siblings in groupby(sorted(sources), key=lambda source: source.parent):
        target = root / (into or parent).relative_to("/")
        target.mkdir(parents=True, exist_ok=True)
        same_disk = parent.stat().st_dev == target.stat().st_dev
        how = ["-al"] if same_disk else ["-a", "--reflink=auto"]
        run(["cp", *how, *siblings, f"{target}/"])
