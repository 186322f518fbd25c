"""A real enforcer of NetworkPolicies: a Cilium agent on each node, chained after the plugin that links the pods.

What it changes lies in the nodes' namespaces, and goes with them: filters on the nodes' own links, files pinned on a
file system of the node's. Nothing is attached to a cgroup.
"""

import json
import shutil
from ipaddress import IPv4Network
from pathlib import Path

import published
import yaml
from installed import Cluster
from local import module_folder
from local_cluster.directories import ClusterDirectory
from local_cluster.go_programs import CILIUM_AGENT, CILIUM_PLUGIN
from local_cluster.installation import program
from local_cluster.node import CNI_PLUGINS, Node
from local_cluster.running_cluster import open_cluster
from local_cluster.system_packages import install_packages

MODULE = "github.com/cilium/cilium@v1.15.19"
_CHAINED = {"type": "cilium-cni", "chaining-mode": "generic-veth"}
_OPTIONS = {
    # Addresses, links and routes are the other plugin's; Services stay kube-proxy's.
    "cni-chaining-mode": "generic-veth",
    "ipam": "delegated-plugin",
    "local-router-ipv4": "169.254.23.1",
    "enable-endpoint-routes": "true",
    "routing-mode": "native",
    "kube-proxy-replacement": "false",
    "bpf-lb-sock": "false",
    "enable-ipv4-masquerade": "false",
    "enable-ipv6": "false",
    # They mark what comes from the node itself, as the kubelet's probes, which always pass.
    "install-iptables-rules": "true",
    "enable-policy": "default",
    "identity-allocation-mode": "crd",
    "enable-l7-proxy": "false",
    "enable-health-checking": "false",
    "enable-endpoint-health-checking": "false",
    # It clears the cgroup that it is told: the node's own where there is cgroup2, and none in v1.
    "cgroup-root": "/sys/fs/cgroup",
    "bpf-ct-global-tcp-max": "16384",
    "bpf-ct-global-any-max": "16384",
}
_PREPARE = """
mount -t bpf bpf /sys/fs/bpf
for name in unprivileged_bpf_disabled timer_migration; do
  mount --bind /proc/sys/kernel/$name /proc/sys/kernel/$name
  mount -o remount,bind,ro /proc/sys/kernel/$name
done
mkdir -p /run/proc
mount --rbind /proc /run/proc
mount -t tmpfs proc /proc
ln -s /run/proc/[a-z]* /run/proc/$$ /proc
[ -e /proc/modules ] || : >/proc/modules
export PATH=$0:$PATH
exec "$@"
"""
"""Run in mounts of the agent's own: its file system for pinned programs, settings of the whole machine for reading only,
and the list of modules that it insists on, which a kernel without modules does not have.
"""


def enforce_policies(cluster: Cluster) -> None:
    """From now on NetworkPolicies hold for every pod that starts, and DNS answers from such a pod."""
    install_packages(["clang", "bpftool"], "the test of enforced NetworkPolicies")
    folder = module_folder(MODULE)
    definitions = sorted((folder / "pkg/k8s/apis/cilium.io/client/crds").glob("*/*.yaml"))
    published.apply(cluster, [yaml.safe_load(file.read_text()) for file in definitions])
    local = open_cluster(ClusterDirectory.of(cluster.kubectl.kubeconfig.parent.name))
    for node in local.nodes:
        # The agent compiles its filters on the node, and writes beside their sources.
        shutil.copytree(folder / "bpf", node.folder / "lib/cilium/bpf", dirs_exist_ok=True)
        _start_agent(node, cluster.kubectl.kubeconfig)
        _chain(node)
    _renew_dns(cluster)


def _start_agent(node: Node, kubeconfig: Path) -> None:
    agent = program(CILIUM_AGENT, "cilium-agent")
    options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
    prepared = ("unshare", "--mount", "bash", "-euc", _PREPARE, agent.parent)
    node.machine.start(agent.name, f"--k8s-kubeconfig-path={kubeconfig}", *options, through=prepared)


def _chain(node: Node) -> None:
    """The plugin lies beside the others; containerd reads its networks anew when a file changes.

    The node speaks to its pods from the address of their gateway, which the agent takes for the node's own on lo alone;
    else the kubelet's probes would come from a stranger.
    """
    plugin = program(CILIUM_PLUGIN, "cilium-cni").parent
    node.machine.enter(
        ["mount", "-t", "overlay", "-o", f"lowerdir={plugin}:{CNI_PLUGINS}", "cni", CNI_PLUGINS]
    )
    [file] = (node.folder / "cni").glob("*.conflist")
    network = json.loads(file.read_text())
    gateway = IPv4Network(network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"])[1]
    node.machine.net(["ip", "addr", "add", f"{gateway}/32", "dev", "lo"])
    file.write_text(json.dumps({**network, "plugins": [*network["plugins"], _CHAINED]}))


def _renew_dns(cluster: Cluster) -> None:
    """Its pods are older than the agents, to which they are strangers."""
    kubectl = cluster.kubectl.in_namespace("kube-system")
    kubectl.run("rollout", "restart", "deployment/coredns")
    kubectl.run("rollout", "status", "deployment/coredns", "--timeout=300s", timeout=320)
