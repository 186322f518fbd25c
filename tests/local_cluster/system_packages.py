"""Debian packages that the cluster needs, installed only where they are missing."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster.commands import run, succeeds
from local_cluster.errors import ClusterError
from local_cluster.progress import Step

CLUSTER_PACKAGES = (
    "ca-certificates",
    "conntrack",
    "containernetworking-plugins",
    "gcc",
    "iproute2",
    "iptables",
    "libc6-dev",
    "nftables",
    "openssl",
    "procps",
    "runc",
    "socat",
    "util-linux",
)
LISTS = Path("/var/lib/apt/lists")


def install_packages(wanted: Sequence[str], why: str) -> None:
    """Install the missing ones of `wanted`. Raises ClusterError without apt, or without root."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise ClusterError(f"{why} needs Debian or Ubuntu (apt-get was not found) with: {' '.join(wanted)}")
    if not (missing := [name for name in wanted if not _installed(name)]):
        return
    if os.geteuid() != 0:
        raise ClusterError(f"{why} needs root to run: apt-get install {' '.join(missing)}")
    with Step(f"Installing {len(missing)} system packages: {' '.join(missing)}", "1 min"):
        install = [
            "apt-get",
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            "-o",
            "DPkg::Lock::Timeout=300",
        ]
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # Old package lists name files that are no longer served: refresh them when there are none, or on a failure.
        if not any(LISTS.glob("*_Packages*")) or not succeeds([*install, *missing], env=env):
            run(["apt-get", "update", "-q", "-o", "DPkg::Lock::Timeout=300"], env=env)
            run([*install, *missing], env=env)


def _installed(name: str) -> bool:
    try:
        return run(["dpkg-query", "-W", "-f", "${db:Status-Status}", name]) == "installed"
    except ClusterError:
        return False
