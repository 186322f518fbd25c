"""The control plane: etcd, API server, controller manager and scheduler in one namespace set, and its network."""

from pathlib import Path

from local_cluster.commands import run
from local_cluster.directories import ClusterDirectory
from local_cluster.namespace_set import NamespaceSet
from local_cluster.network import ClusterNetwork

SET_NAME = "cp"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
BRIDGE = "br0"
NODE_PROXIER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "node-proxier"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:node-proxier",
    },
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}],
}
# Who did what, without bodies; the cluster's own programs, which make most of it, are left out.
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    userGroups: [system:nodes, system:masters, system:serviceaccounts:kube-system]
  - level: Metadata
    userGroups: [system:serviceaccounts]
  - level: None
"""
# Short periods: tests that lose a node or scale by load must not wait minutes for the defaults.
PERIODS = {
    "node-monitor-period": "2s",
    "node-monitor-grace-period": "16s",
    "horizontal-pod-autoscaler-sync-period": "5s",
    "horizontal-pod-autoscaler-cpu-initialization-period": "15s",
    "horizontal-pod-autoscaler-initial-readiness-delay": "5s",
    "horizontal-pod-autoscaler-downscale-stabilization": "15s",
}


def connect_host(cluster: ClusterDirectory, network: ClusterNetwork, machine: NamespaceSet) -> None:
    """A bridge inside, and a link from the host to it, so that the host reaches pods and services directly."""
    machine.net(["ip", "link", "add", BRIDGE, "type", "bridge"])
    machine.net(["ip", "addr", "add", f"{network.control_plane}/24", "dev", BRIDGE])
    machine.net(["ip", "link", "set", BRIDGE, "up"])
    machine.net(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    link = cluster.host_link
    run(["ip", "link", "add", link, "type", "veth", "peer", "name", "host", "netns", str(machine.init)])
    machine.net(["ip", "link", "set", "host", "master", BRIDGE, "up"])
    run(["ip", "addr", "add", f"{network.host}/24", "dev", link])
    run(["ip", "link", "set", link, "up"])


def start_etcd(cluster: ClusterDirectory, machine: NamespaceSet) -> None:
    """Without fsync: its data survive the end of the process, and need not survive a power cut."""
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    urls = ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
    machine.start("etcd", "--data-dir", cluster.etcd, "--unsafe-no-fsync", *urls, "--log-level", "warn")


def start_api_server(cluster: ClusterDirectory, network: ClusterNetwork, machine: NamespaceSet) -> None:
    audit_policy(cluster).write_text(AUDIT_POLICY)
    machine.start("kube-apiserver", *_flags(api_server_flags(cluster, network)))


def audit_policy(cluster: ClusterDirectory) -> Path:
    return cluster.root / "audit-policy.yaml"


def api_server_flags(cluster: ClusterDirectory, network: ClusterNetwork) -> dict[str, object]:
    """Flags by name. The request-header and proxy-client ones are for aggregated APIs (metrics)."""
    pki = cluster.pki
    return {
        "etcd-servers": "http://127.0.0.1:2379",
        "advertise-address": network.control_plane,
        "secure-port": 6443,
        "service-cluster-ip-range": network.services,
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "client-ca-file": pki / "ca.crt",
        "service-account-key-file": pki / "service-account.pub",
        "service-account-signing-key-file": pki / "service-account.key",
        "service-account-issuer": "https://kubernetes.default.svc",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "kubelet-client-certificate": pki / "kubelet-client.crt",
        "kubelet-client-key": pki / "kubelet-client.key",
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "requestheader-client-ca-file": pki / "ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "proxy-client-cert-file": pki / "front-proxy.crt",
        "proxy-client-key-file": pki / "front-proxy.key",
        "enable-aggregator-routing": "true",
        "audit-policy-file": audit_policy(cluster),
        "audit-log-path": cluster.audit_log,
        "default-not-ready-toleration-seconds": 15,
        "default-unreachable-toleration-seconds": 15,
    }


def start_controllers(cluster: ClusterDirectory, machine: NamespaceSet) -> None:
    """The controller manager and the scheduler; both alone, so neither elects a leader."""
    pki = cluster.pki
    controller_manager = {
        "kubeconfig": cluster.root / "controller-manager.conf",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": pki / "service-account.key",
        "root-ca-file": pki / "ca.crt",
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
        "leader-elect": "false",
        "allocate-node-cidrs": "false",
        "bind-address": "127.0.0.1",
        "kube-api-qps": 200,
        "kube-api-burst": 400,
        **PERIODS,
    }
    machine.start("kube-controller-manager", *_flags(controller_manager))
    configuration = cluster.root / "scheduler.yaml"
    configuration.write_text(
        f"""apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{leaderElect: false}}
clientConnection: {{kubeconfig: {cluster.root / "scheduler.conf"}, qps: 200, burst: 400}}
"""
    )
    machine.start("kube-scheduler", f"--config={configuration}", "--bind-address=127.0.0.1")


def _flags(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]
