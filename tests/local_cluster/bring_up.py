"""Bring a cluster up: again and again the same result, also over what a crash left."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

from local_cluster import kernel_settings
from local_cluster.api_client import ApiClient
from local_cluster.cgroups import cluster_folders
from local_cluster.control_plane import (
    NODE_PROXIER,
    connect_host,
    start_api_server,
    start_controllers,
    start_etcd,
)
from local_cluster.credentials import write_credentials
from local_cluster.deadline import Deadline
from local_cluster.directories import SOURCES, ClusterDirectory
from local_cluster.errors import ClusterError
from local_cluster.installation import Installation, locked
from local_cluster.namespace_set import NamespaceSet
from local_cluster.network import MOST_NODES, choose_network, ranges_in_use
from local_cluster.node import Node
from local_cluster.progress import Step
from local_cluster.running_cluster import (
    Cluster,
    ClusterRecord,
    alone,
    node_ready,
    read_record,
    write_record,
)
from local_cluster.take_down import stop

UP_SECONDS = 300
DEFAULT_NODES = 2
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
COREDNS = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"


def up(directory: ClusterDirectory, nodes: int | None, installation: Installation) -> Cluster:
    """Start the cluster, or return at once when it is up. Kept data are used again.

    Raises ClusterError when it is up with another number of nodes, or not up within UP_SECONDS.
    """
    with alone(directory):
        record = read_record(directory)
        if record is not None and nodes is not None and nodes != record.nodes:
            raise ClusterError(
                f"cluster {directory.name!r} has {record.nodes} nodes, not --nodes {nodes}; "
                f"remove it first: down --name {directory.name} --purge"
            )
        if record is not None and (cluster := Cluster(directory, record)).ready():
            return cluster
        if directory.root.exists() or cluster_folders(directory.cgroup):
            stop(directory)
        cluster = Cluster(directory, _new_record(directory, record, nodes, installation))
        with Step(f"Starting cluster {directory.name} with {cluster.record.nodes} nodes", "15 s"):
            try:
                _start(cluster, installation, Deadline(UP_SECONDS))
            except ClusterError as error:
                raise ClusterError(
                    f"{error}\nlogs are in {directory.logs}; `down --name {directory.name}` removes what was started"
                ) from error
        return cluster


def _new_record(
    directory: ClusterDirectory, old: ClusterRecord | None, nodes: int | None, installation: Installation
) -> ClusterRecord:
    """Choose the network and write the record while no other cluster does. Kept data keep their addresses."""
    count = old.nodes if old else DEFAULT_NODES if nodes is None else nodes
    if not 1 <= count <= MOST_NODES:
        raise ClusterError(f"--nodes {count} is not between 1 and {MOST_NODES}")
    clusters = directory.root.parent
    with locked(clusters / ".network.lock", "another start"):
        kernel_settings.save(clusters / ".kernel-settings.json")
        used = ranges_in_use()
        if old is None:
            others = [ClusterDirectory(path.name, path) for path in clusters.iterdir() if path.is_dir()]
            slots = [record.slot for other in others if (record := read_record(other))]
            slot = choose_network(used, slots).slot
        elif old.network.is_free(used):
            slot = old.slot
        else:
            raise ClusterError(
                f"addresses of cluster {directory.name!r} ({', '.join(map(str, old.network.ranges()))}) are routed "
                f"elsewhere by now; remove it and start anew: down --name {directory.name} --purge"
            )
        record = ClusterRecord(count, slot, str(installation.tools))
        write_record(directory, record)
        # From here on this cluster counts as one that uses the changed kernel settings.
        directory.processes.mkdir(exist_ok=True)
    return record


def _start(cluster: Cluster, installation: Installation, deadline: Deadline) -> None:
    started = datetime.now(UTC)
    directory, control_plane = cluster.directory, cluster.control_plane
    write_credentials(directory, cluster.network, cluster.record.nodes)
    control_plane.open()
    connect_host(directory, cluster.network, control_plane)
    directory.etcd.mkdir(mode=0o700, exist_ok=True)
    start_etcd(directory, control_plane)
    start_api_server(directory, cluster.network, control_plane)
    with ThreadPoolExecutor(len(cluster.nodes)) as pool:  # nodes are built while the API server starts
        building = [pool.submit(_build_node, cluster, node, installation, deadline) for node in cluster.nodes]
        api = ApiClient(directory, cluster.network)
        deadline.wait("API server", lambda: _progressing(control_plane) and api.ready())
        start_controllers(directory, control_plane)
        deadline.wait("role of kube-proxy", lambda: api.create(BINDINGS, NODE_PROXIER))
        for future in building:
            future.result()
    for node in cluster.nodes:
        node.start_kubelet()
        node.start_proxy()
    for node in cluster.nodes:
        deadline.wait(f"{node.name} Ready", partial(_node_renewed, api, node, started))
    _apply_coredns(cluster, installation, deadline)
    deadline.wait("CoreDNS", lambda: _progressing(control_plane) and _available(api.get(COREDNS)))


def _build_node(cluster: Cluster, node: Node, installation: Installation, deadline: Deadline) -> None:
    node.open(cluster.control_plane)
    pause = next(name for name in installation.archives if "/pause:" in name)
    node.start_containerd(pause, deadline)
    for image, archive in installation.archives.items():
        node.import_archive(archive, image)


def _progressing(machine: NamespaceSet) -> bool:
    machine.require_running()
    return True


def _node_renewed(api: ApiClient, node: Node, started: datetime) -> bool:
    """Ready since this start: after a restart the stored Ready is stale until the node's lease is renewed."""
    node.machine.require_running()
    lease = api.get(f"{LEASES}/{node.name}")
    renewed: str = lease["spec"].get("renewTime", "") if lease else ""
    return bool(renewed) and datetime.fromisoformat(renewed) > started and node_ready(api, node.name)


def _apply_coredns(cluster: Cluster, installation: Installation, deadline: Deadline) -> None:
    image = next(name for name in installation.archives if "/coredns:" in name)
    text = (SOURCES / "manifests" / "coredns.yaml").read_text()
    manifest = cluster.directory.root / "coredns.yaml"
    manifest.write_text(text.replace("@DNS@", cluster.network.dns).replace("@IMAGE@", image))
    apply = ("apply", "--server-side", "--force-conflicts", "-f", manifest)
    deadline.wait("manifest of CoreDNS", lambda: bool(cluster.kubectl(*apply)))


def _available(deployment: dict[str, Any] | None) -> bool:
    status = deployment["status"] if deployment else {}
    seen = deployment is not None and status.get("observedGeneration") == deployment["metadata"]["generation"]
    return seen and bool(status.get("availableReplicas")) and not status.get("unavailableReplicas")
