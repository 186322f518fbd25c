"""Where the cluster's programs, images and state lie: under one cache folder that outlives a clone.

$PADDOCK_CACHE (default ~/.cache/paddock)
  programs/FAMILY-KEY/   built Go programs, one folder per content of the family's go.mod
  tools/KEY/             links to one consistent set of them: the PATH of a cluster
  images/                OCI archives
  bytecode/NAME/KEY/     bytecode of a virtual environment's packages, for the next clone
  clusters/NAME/         everything that the cluster NAME writes
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from local_cluster.errors import ClusterError

# Nodes mount their own folders over these, so nothing that a node must read may lie below them.
HIDDEN_IN_NODES = tuple(Path(path) for path in ("/var/lib", "/var/log", "/run", "/sys", "/proc"))

# The host's end of the cluster's network is called h-NAME, and Linux allows 15 characters.
NAME = re.compile(r"[a-z]([a-z0-9-]{0,11}[a-z0-9])?")

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent


def cache_root() -> Path:
    """The cache folder, made on first use. Raises ClusterError where a node could not read it."""
    root = Path(os.environ.get("PADDOCK_CACHE") or Path.home() / ".cache" / "paddock").resolve()
    for hidden in HIDDEN_IN_NODES:
        if root.is_relative_to(hidden):
            raise ClusterError(
                f"PADDOCK_CACHE={root} lies under {hidden}, which every node of the cluster replaces by its own; "
                "set it to another folder on a local disk"
            )
    root.mkdir(parents=True, exist_ok=True)
    return root


@dataclass(frozen=True)
class ClusterDirectory:
    """Paths of one cluster's state."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> "ClusterDirectory":
        """Raises ClusterError for a name that cannot name a network link and a cgroup."""
        if not NAME.fullmatch(name):
            raise ClusterError(
                f"--name {name!r} is not a cluster name: use 1 to 13 lower-case letters, digits and hyphens, "
                "a letter first, no hyphen last"
            )
        return cls(name, cache_root() / "clusters" / name)

    @property
    def kubeconfig(self) -> Path:
        return self.root / "admin.conf"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def processes(self) -> Path:
        return self.root / "processes"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def audit_log(self) -> Path:
        """What pods asked of the API server, a line of JSON per request."""
        return self.logs / "audit.jsonl"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def host_link(self) -> str:
        return f"h-{self.name}"

    @property
    def cgroup(self) -> str:
        return f"paddock-{self.name}"

    def node(self, number: int) -> Path:
        """State of node `number` (1 and up): its /var/lib, its /var/log and its configuration."""
        return self.root / f"node-{number}"
