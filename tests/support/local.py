"""The local two-node cluster as the demo and the tests bring it up: nodes Ready, images and the tiny model loaded."""

import json
import subprocess
import sys
from pathlib import Path

from installed import MODEL, ROOT, Cluster
from kubectl import Kubectl

sys.path.insert(0, str(ROOT / "tests"))

from local_cluster.go_programs import Family
from local_cluster.installation import program_image


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


def load_program(cluster: Cluster, family: Family, name: str) -> str:
    """A program that only some tests need, built when first asked for, as an image on every node. The image's name."""
    image, archive = program_image(family, name)
    command(cluster.kubectl.kubeconfig.parent.name, "load-image", str(archive))
    return image


def module_folder(module: str) -> Path:
    """The source of a Go module, `PATH@VERSION`, with the manifests that its project has users apply."""
    told = subprocess.run(
        ["go", "mod", "download", "-json", module], capture_output=True, text=True, check=True, cwd="/"
    )
    return Path(json.loads(told.stdout)["Dir"])
