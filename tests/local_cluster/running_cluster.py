"""A cluster's record, its parts, and whether they run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from local_cluster.api_client import ApiClient
from local_cluster.commands import run
from local_cluster.control_plane import PROGRAMS, SET_NAME
from local_cluster.directories import ClusterDirectory, cache_root
from local_cluster.errors import ClusterError
from local_cluster.installation import locked
from local_cluster.namespace_set import NamespaceSet
from local_cluster.network import ClusterNetwork
from local_cluster.node import NODE_PROGRAMS, Node
from local_cluster.process_records import ProcessRecord


@dataclass(frozen=True)
class ClusterRecord:
    """What a cluster was made with; kept as long as its data."""

    nodes: int
    slot: int
    tools: str

    @property
    def network(self) -> ClusterNetwork:
        return ClusterNetwork(self.slot)


def write_record(cluster: ClusterDirectory, record: ClusterRecord) -> None:
    cluster.root.mkdir(parents=True, exist_ok=True)
    (cluster.root / "cluster.json").write_text(json.dumps(asdict(record)))


def read_record(cluster: ClusterDirectory) -> ClusterRecord | None:
    file = cluster.root / "cluster.json"
    return ClusterRecord(**json.loads(file.read_text())) if file.exists() else None


class Cluster:
    """The parts of one recorded cluster, running or not."""

    def __init__(self, directory: ClusterDirectory, record: ClusterRecord) -> None:
        self.directory = directory
        self.record = record
        self.network = record.network
        self.tools = Path(record.tools)
        self.control_plane = NamespaceSet(directory, SET_NAME, self.tools)
        numbers = range(1, record.nodes + 1)
        self.nodes = [Node(directory, self.network, self.tools, number, record.nodes) for number in numbers]

    def programs(self) -> dict[str, bool]:
        """Every program that should run, as SET.PROGRAM, and whether it does."""
        wanted = {SET_NAME: PROGRAMS, **{node.name: NODE_PROGRAMS for node in self.nodes}}
        names = [f"{name}.{program}" for name, programs in wanted.items() for program in ("init", *programs)]
        records = {file.name: ProcessRecord.read(file) for file in self.directory.processes.glob("*.*")}
        return {name: name in records and records[name].alive() for name in names}

    def ready(self) -> bool:
        """Whether every program runs, the API server answers and every node is Ready."""
        if not all(self.programs().values()):
            return False
        try:
            api = ApiClient(self.directory, self.network)
            return api.ready() and all(node_ready(api, node.name) for node in self.nodes)
        except ClusterError:
            return False

    def kubectl(self, *arguments: str | Path) -> str:
        environment = self.control_plane.environment()
        return run(["kubectl", "--kubeconfig", self.directory.kubeconfig, *arguments], env=environment)


def open_cluster(directory: ClusterDirectory) -> Cluster:
    """The recorded cluster, which must be up. Raises ClusterError that says how to start it."""
    record = read_record(directory)
    if record is None or not (cluster := Cluster(directory, record)).ready():
        raise ClusterError(f"cluster {directory.name!r} is not up; start it with: up --name {directory.name}")
    return cluster


def node_ready(api: ApiClient, name: str) -> bool:
    node = api.get(f"/api/v1/nodes/{name}")
    conditions = node["status"].get("conditions", []) if node else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@contextmanager
def alone(directory: ClusterDirectory) -> Iterator[None]:
    """Keep other commands on the same cluster waiting meanwhile."""
    clusters = cache_root() / "clusters"
    clusters.mkdir(exist_ok=True)
    with locked(clusters / f".{directory.name}.lock", f"another command on cluster {directory.name}"):
        yield
