"""A node of the cluster: its mounts, its network, containerd, kubelet and kube-proxy."""

import json
from pathlib import Path

from local_cluster import cgroups
from local_cluster.commands import run
from local_cluster.control_plane import BRIDGE
from local_cluster.deadline import Deadline
from local_cluster.directories import ClusterDirectory
from local_cluster.namespace_set import NamespaceSet
from local_cluster.network import ClusterNetwork

NODE_PROGRAMS = ("containerd", "kubelet", "kube-proxy")
CNI_PLUGINS = Path("/usr/lib/cni")
RUNC = Path("/usr/sbin/runc")


class Node:
    """Node `number` (1 and up) of `count`."""

    def __init__(
        self, cluster: ClusterDirectory, network: ClusterNetwork, tools: Path, number: int, count: int
    ) -> None:
        self.name = f"node-{number}"
        self.folder = cluster.node(number)
        self.machine = NamespaceSet(cluster, self.name, tools)
        self._cluster = cluster
        self._network = network
        self._number = number
        self._others = [other for other in range(1, count + 1) if other != number]

    def open(self, control_plane: NamespaceSet) -> None:
        """Namespaces, private mounts and the network of the node."""
        for part in ("lib", "log", "cni"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self.machine.open()
        self.machine.enter(["bash", "-euc", mount_script(self.folder, cgroups.hierarchies())])
        self._connect(control_plane)

    def start_containerd(self, sandbox_image: str, deadline: Deadline) -> None:
        """Start containerd, with the image that holds each pod's namespaces, and wait until it answers."""
        self._write_cni()
        configuration = self.folder / "containerd.toml"
        configuration.write_text(containerd_configuration(self.folder, sandbox_image))
        self.machine.start("containerd", "-c", configuration, "-l", "info")
        deadline.wait(f"containerd on {self.name}", self._containerd_answers)

    def _containerd_answers(self) -> bool:
        self.machine.require_running()
        return bool(self.ctr("version"))

    def ctr(self, *arguments: str | Path, timeout: float = 600) -> str:
        """Run containerd's client in the namespace that kubelet uses."""
        return self.machine.enter(["ctr", "-n", "k8s.io", *arguments], timeout=timeout)

    def images(self) -> set[str]:
        """Names of the images that this node holds."""
        return set(self.ctr("images", "ls", "-q").split())

    def import_archive(self, archive: Path, image: str) -> None:
        """Load an OCI archive unless the node holds its image already."""
        if image not in self.images():
            self.ctr("images", "import", archive)

    def start_kubelet(self) -> None:
        """Start kubelet. Images must be there before: a sandbox without its image is retried only 10 s later."""
        configuration = self.folder / "kubelet.yaml"
        configuration.write_text(kubelet_configuration(self._cluster.pki, self.name, self._network.dns))
        self.machine.start(
            "kubelet",
            f"--config={configuration}",
            f"--kubeconfig={self._cluster.root / self.name}.conf",
            f"--hostname-override={self.name}",
            f"--node-ip={self._network.node(self._number)}",
        )

    def start_proxy(self) -> None:
        configuration = self.folder / "proxy.yaml"
        kubeconfig = self._cluster.root / "proxy.conf"
        configuration.write_text(proxy_configuration(kubeconfig, self.name, str(self._network.pods)))
        self.machine.start("kube-proxy", f"--config={configuration}")

    def _connect(self, control_plane: NamespaceSet) -> None:
        """A link to the bridge, and static routes to every pod range on every machine and on the host."""
        net, network, number = self.machine.net, self._network, self._number
        address = network.node(number)
        peer = ["peer", "name", "eth0", "netns", str(self.machine.init)]
        control_plane.net(["ip", "link", "add", self.name, "type", "veth", *peer])
        control_plane.net(["ip", "link", "set", self.name, "master", BRIDGE, "up"])
        net(["ip", "addr", "add", f"{address}/24", "dev", "eth0"])
        net(["ip", "link", "set", "eth0", "up"])
        # Local processes can address a ClusterIP only when some route covers it; nothing leaves the machine by it.
        net(["ip", "route", "add", "default", "via", network.control_plane])
        net(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        for other in self._others:
            net(["ip", "route", "add", str(network.pods_of(other)), "via", network.node(other)])
        ranges = [network.pods_of(number), *([network.services] if number == 1 else [])]
        for destination in ranges:
            control_plane.net(["ip", "route", "add", str(destination), "via", address])
            run(["ip", "route", "add", str(destination), "via", address, "dev", self._cluster.host_link])

    def _write_cni(self) -> None:
        """Routed links: no bridge, so no bridge-netfilter setting, and leases on the node's own /run."""
        addresses = {
            "type": "host-local",
            "dataDir": "/run/cni-ipam",
            "ranges": [[{"subnet": str(self._network.pods_of(self._number))}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        plugins = [
            {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        value = {"cniVersion": "1.0.0", "name": self._cluster.name, "plugins": plugins}
        (self.folder / "cni" / "10-cluster.conflist").write_text(json.dumps(value))


def mount_script(folder: Path, hierarchies: list[cgroups.Hierarchy]) -> str:
    """Shell text, run inside a new node: private /run, /var/lib, /var/log and the node's own view of cgroups."""
    lines = [f"umount -R {cgroups.ROOT}", "mount -t sysfs sysfs /sys"]
    if any(hierarchy.is_v2 for hierarchy in hierarchies):
        lines.append(f"mount -t cgroup2 cgroup2 {cgroups.ROOT}")
    else:
        lines.append(f"mount -t tmpfs -o mode=755 cgroup {cgroups.ROOT}")
        for hierarchy in hierarchies:
            lines += [
                f"mkdir {hierarchy.path}",
                f"mount -t cgroup -o {hierarchy.options} cgroup {hierarchy.path}",
            ]
            # Programs look for cpu and cpuacct by their own names also where they are mounted together.
            controllers = hierarchy.path.name.split(",")
            lines += [
                f"ln -s {hierarchy.path.name} {cgroups.ROOT / one}" for one in controllers if controllers[1:]
            ]
    lines += [
        f"mount --bind '{folder}/lib' /var/lib",
        f"mount --bind '{folder}/log' /var/log",
        "mount -t tmpfs -o mode=755 run /run",
        "mount --make-rshared /",
    ]
    return "\n".join(lines)


def containerd_configuration(folder: Path, sandbox_image: str) -> str:
    """restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower a score, and every sandbox would fail."""
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    return f"""version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{sandbox_image}"
[{runtime}]
  restrict_oom_score_adj = true
[{runtime}.cni]
  bin_dirs = ["{CNI_PLUGINS}"]
  conf_dir = "{folder}/cni"
[{runtime}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [{runtime}.containerd.runtimes.runc.options]
    BinaryName = "{RUNC}"
    SystemdCgroup = false
"""


def kubelet_configuration(pki: Path, name: str, dns: str) -> str:
    """Low eviction limits: the disk is shared with everything else on the machine. Images are never collected,
    because a collected one could not be pulled again."""
    return f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {pki}/ca.crt}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
clusterDNS: ["{dns}"]
clusterDomain: cluster.local
resolvConf: ""
tlsCertFile: {pki}/{name}.crt
tlsPrivateKeyFile: {pki}/{name}.key
seccompDefault: true
oomScoreAdj: 0
serializeImagePulls: false
evictionHard: {{nodefs.available: "1%", imagefs.available: "1%", memory.available: 100Mi}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 4s
"""


def proxy_configuration(kubeconfig: Path, name: str, pods: str) -> str:
    """conntrack is left alone: its settings are read-only outside the first network namespace."""
    return f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {kubeconfig}}}
mode: nftables
clusterCIDR: {pods}
hostnameOverride: {name}
oomScoreAdj: 0
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"""
