"""Install, upgrade and remove the chart with the real `helm`, as a user would."""

import subprocess
from pathlib import Path

from installed import MODEL, ROOT, Cluster

SYSTEM_NAMESPACE = "paddock-system"
RELEASE = "paddock"


def helm(cluster: Cluster, *args: str) -> str:
    """Run helm in the operator's namespace; standard output."""
    command = [cluster.helm, *args, "--kubeconfig", str(cluster.kubectl.kubeconfig), "-n", SYSTEM_NAMESPACE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"helm {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


CHART = ROOT / "charts/paddock"


def install_chart(cluster: Cluster, *more: str, folder: Path = MODEL.parent, chart: Path = CHART) -> str:
    """Install or upgrade; `file://` models are allowed below `folder`."""
    return helm(
        cluster,
        *("upgrade", "--install", RELEASE, str(chart)),
        *("--create-namespace", "--wait", "--timeout", "120s"),
        *("--set", f"operator.image={cluster.operator_image}"),
        *("--set", f"server.image={cluster.server_image}"),
        *("--set", "modelSources.hostPath.enabled=true"),
        *("--set", f"modelSources.hostPath.allowedPrefixes={{{folder}}}"),
        *more,
    )
