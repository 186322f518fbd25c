"""Build the cluster's programs from the Go module proxy: one go.mod per family pins every version.

A family's programs live in programs/FAMILY-KEY, where KEY is a hash of everything that decides their content, so a
second install, also from another clone, builds nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_cluster.commands import run
from local_cluster.directories import SOURCES
from local_cluster.errors import ClusterError
from local_cluster.progress import Step

GO_FOLDER = Path("/usr/local/go/bin")
KUBERNETES_VERSION = "v1.36.3"
KEY_CHARACTERS = 12


@dataclass(frozen=True)
class Family:
    """Programs built from one go.mod: program name to Go package, and how long a cold build takes on 2 cores."""

    name: str
    programs: Mapping[str, str]
    estimate: str
    link_values: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        return SOURCES / "go" / self.name

    def key(self) -> str:
        """Hash of the module files, the sources, the packages and the values that are linked in."""
        digest = hashlib.sha256(
            repr((sorted(self.programs.items()), sorted(self.link_values.items()), *self.tags)).encode()
        )
        for file in sorted(self.source.iterdir()):
            digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:KEY_CHARACTERS]


def _kubernetes_version() -> dict[str, str]:
    """Without these every component calls itself v0.0.0-master, and version checks (Helm's, clients') fail."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    base = "k8s.io/component-base/version"
    return {
        f"{base}.gitVersion": KUBERNETES_VERSION,
        f"{base}.gitMajor": major,
        f"{base}.gitMinor": minor,
        f"{base}.gitTreeState": "clean",
        "k8s.io/client-go/pkg/version.gitVersion": KUBERNETES_VERSION,
    }


KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
CONTAINERD_PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2")

FAMILIES = (
    Family(
        "kubernetes",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS},
        "6 min",
        _kubernetes_version(),
    ),
    Family("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, "1 min"),
    Family(
        "containerd",
        {name: f"github.com/containerd/containerd/v2/cmd/{name}" for name in CONTAINERD_PROGRAMS},
        "1 min",
    ),
    Family("coredns", {"coredns": "."}, "1 min"),
    Family("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, "2 min"),
)

# Built for the tests of dashboards and rules alone. Of the many ways to find targets only those that are used here:
# files and Kubernetes.
MONITORING = Family(
    "prometheus",
    {name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
    "4 min",
    tags=("remove_all_sd", "enable_kubernetes_sd"),
)

# Built for the test of traces alone.
COLLECTOR = Family("otelcol", {"otelcol": "."}, "2 min")

# Built for the tests of model sources alone: an S3 server over a folder.
S3_GATEWAY = Family("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}, "3 min")

# Built for measuring the operator alone: nodes and pods that run in name only.
KWOK = Family("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, "2 min")

# Built for the test of autoscaling by KEDA alone.
KEDA = Family(
    "keda",
    {name: f"github.com/kedacore/keda/v2/cmd/{name}" for name in ("operator", "adapter", "webhooks")},
    "10 min",
)

# Built for the test of autoscaling by its figures alone.
METRICS_ADAPTER = Family(
    "prometheus-adapter", {"prometheus-adapter": "sigs.k8s.io/prometheus-adapter/cmd/adapter"}, "3 min"
)

# Built for the test of NetworkPolicies alone: two families of one module, since its packages are not named as its programs.
_CILIUM = "github.com/cilium/cilium"
_CILIUM_VERSION = {f"{_CILIUM}/pkg/version.ciliumVersion": "1.15.19"}
CILIUM_AGENT = Family("cilium", {"cilium-agent": f"{_CILIUM}/daemon"}, "15 min", _CILIUM_VERSION)
CILIUM_PLUGIN = Family("cilium", {"cilium-cni": f"{_CILIUM}/plugins/cilium-cni"}, "1 min", _CILIUM_VERSION)


def build_family(family: Family, programs: Path) -> Path:
    """The folder with the family's programs, built now if this key has never been built."""
    target = programs / f"{family.name}-{family.key()}"
    if target.is_dir():
        return target
    go = find_go(family)
    work = programs / f".{target.name}.{os.getpid()}.partial"
    shutil.rmtree(work, ignore_errors=True)
    # Built in a copy: the go command may want to touch go.mod, and a checkout must stay as it is.
    shutil.copytree(family.source, work / "module")
    (work / "bin").mkdir()
    try:
        with Step(f"Building {family.name}: {', '.join(family.programs)}", family.estimate) as step:
            _go_build(go, family, work, step)
        (work / "bin").rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _go_build(go: Path, family: Family, work: Path, step: Step) -> None:
    values = " ".join(f"-X {name}={value}" for name, value in family.link_values.items())
    single = len(family.programs) == 1
    # Several packages at once go to a folder and are named after their last path element.
    output = work / "bin" / (next(iter(family.programs)) if single else "")
    flags = [
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        "-v",
        "-tags",
        ",".join(family.tags),
        "-ldflags",
        f"-s -w {values}",
        "-o",
        f"{output}{'' if single else '/'}",
    ]
    process = subprocess.Popen(
        [go, "build", *flags, *family.programs.values()],
        cwd=work / "module",
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    downloaded = compiled = 0
    last: list[str] = []
    for line in process.stderr:
        downloaded += line.startswith("go: downloading")
        compiled += bool(re.match(r"\S+$", line))
        last = [*last[-14:], line.rstrip()]
        step.detail(f"{downloaded} modules downloaded, {compiled} packages compiled")
    if process.wait():
        raise ClusterError(f"go build of {family.name} failed: " + "\n".join(last))


def find_go(family: Family) -> Path:
    """The go command, new enough for the family. Raises ClusterError that says where to get one."""
    wanted = required_go((family.source / "go.mod").read_text())
    advice = f"install Go {wanted} or newer (go.dev/dl, unpacked to /usr/local/go) or put it first on PATH"
    found = shutil.which("go") or shutil.which("go", path=str(GO_FOLDER))
    if found is None:
        raise ClusterError(
            f"the go command was not found, and the cluster's programs are built with it: {advice}"
        )
    try:
        # Asked inside the module: a go that may switch its toolchain answers with the one it switches to.
        have = run([found, "env", "GOVERSION"], cwd=family.source).strip().removeprefix("go")
    except ClusterError as error:
        raise ClusterError(f"{found} cannot build {family.name}: {error}; {advice}") from error
    if version_numbers(have) < version_numbers(wanted):
        raise ClusterError(f"{found} is Go {have}, too old for {family.name}: {advice}")
    return Path(found)


def required_go(module: str) -> str:
    """The version in the `go` line of a go.mod's text."""
    found = re.search(r"^go (\S+)$", module, re.MULTILINE)
    if found is None:
        raise ClusterError("the go.mod has no go line; restore it from version control")
    return found[1]


def version_numbers(text: str) -> tuple[int, ...]:
    """Numbers of a Go version, "1.26.8" or "1.26rc1", for comparison."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
