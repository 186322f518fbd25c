"""The local two-node cluster as the demo and the tests bring it up: nodes Ready, images and the tiny model loaded."""

import json
import subprocess
import sys
from pathlib import Path

from installed import MODEL, ROOT, Cluster
from kubectl import Kubectl


def command(name: str, *args: str) -> str:
    """Run the local cluster's program; its progress is shown, its standard output returned."""
    program = [sys.executable, str(ROOT / "tests/local_cluster/cluster.py"), *args, "--name", name]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(args)}` of the local cluster failed; its messages are above.")
    return done.stdout.strip()


def bring_up(name: str) -> Cluster:
    """Nothing of Paddock is installed yet. Raises `RuntimeError`; what was started is then removed by `down`."""
    tools = Path(command(name, "install"))
    kubeconfig = Path(command(name, "up", "--nodes", "2"))
    images = json.loads(command(name, "build-images"))
    model_image = command(name, "load-model-image", str(MODEL.relative_to(ROOT)))
    kubectl = Kubectl(kubeconfig, str(tools / "kubectl"))
    return Cluster(kubectl, str(tools / "helm"), images["server"], images["operator"], model_image)
