"""`make demo`: Paddock's main job on a real Kubernetes, with every command printed as a user would type it.

With KUBECONFIG or CONTEXT set, that cluster is used (SERVER_IMAGE, OPERATOR_IMAGE and MODEL_URI then name what its
nodes can pull); otherwise a two-node cluster is brought up on this machine.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from helm import SYSTEM_NAMESPACE, install_chart
from installed import ROOT, Cluster
from kubectl import Kubectl, KubectlError, Manifest, condition
from local import bring_up
from manifests import client_pod, namespace
from waiting import until

EXAMPLE = ROOT / "examples/tiny.yaml"
NAMESPACE = "models"
QUESTION = "What is the capital of France?"
STARTED = time.monotonic()

ASK = """
import openai
client = openai.OpenAI(base_url="{url}/v1", api_key="none")
stream = client.chat.completions.create(
    model="tiny", temperature=0, stream=True, messages=[{{"role": "user", "content": "{question}"}}]
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
"""


class DemoError(Exception):
    """What stopped the demo, in words, with what to do."""


def step(number: int, text: str) -> None:
    print(f"\n\033[1m[{number}/6]\033[0m {text}  ({time.monotonic() - STARTED:.0f} s so far)", flush=True)


def typed(command: str) -> None:
    print(f"  \033[36m$ {command}\033[0m", flush=True)


def indented(text: str) -> None:
    for line in text.rstrip().splitlines():
        print(f"    {line}", flush=True)


@dataclass(frozen=True)
class Target:
    """Where the demo runs, and the images and model that its nodes can reach."""

    cluster: Cluster
    model_uri: str
    is_local: bool


def local_target() -> Target:
    cluster = bring_up("demo")
    return Target(cluster, cluster.model_uri, is_local=True)


def given_target() -> Target:
    missing = [name for name in ("SERVER_IMAGE", "OPERATOR_IMAGE", "MODEL_URI") if not os.environ.get(name)]
    if missing:
        raise DemoError(
            f"KUBECONFIG or CONTEXT names a cluster of yours, so its nodes must be able to pull: set {', '.join(missing)} "
            "(docs: `make test-images` builds the Dockerfile's targets; push them and name them here)."
        )
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube/config")
    if not kubeconfig.is_file():
        raise DemoError(f"There is no kubeconfig at {kubeconfig}: set KUBECONFIG to one that exists.")
    kubectl = Kubectl(kubeconfig, context=os.environ.get("CONTEXT"))
    cluster = Cluster(kubectl, "helm", os.environ["SERVER_IMAGE"], os.environ["OPERATOR_IMAGE"], "")
    return Target(cluster, os.environ["MODEL_URI"], is_local=False)


def example(model_uri: str) -> Manifest:
    """The manifest of examples/tiny.yaml, pointed at the model that this cluster has."""
    manifest: Manifest = yaml.safe_load(EXAMPLE.read_text())
    manifest["spec"]["model"]["uri"] = model_uri
    return manifest


def wait_available(models: Kubectl, name: str) -> None:
    """Print each condition as it changes, until every replica of the service can answer."""
    shown: dict[str, str] = {}

    def ready() -> bool:
        resource = models.get("infsvc", name)
        for entry in resource.get("status", {}).get("conditions", []):
            line = f"{entry['type']}={entry['status']}  {entry['reason']}: {entry['message']}"
            if shown.get(entry["type"]) != line:
                shown[entry["type"]] = line
                indented(f"{time.monotonic() - STARTED:5.0f} s  {line}")
        wanted = resource["spec"]["replicas"]
        whole = resource.get("status", {}).get("readyReplicas", 0) == wanted
        return whole and condition(resource, "Available")["status"] == "True"

    until(ready, seconds=300, what="the InferenceService to be Available", every=0.5)


def ask_from_inside(models: Kubectl, url: str) -> None:
    models.run("wait", "--for=condition=Ready", "pod/client", "--timeout=120s", timeout=130)
    script = ASK.format(url=url, question=QUESTION)
    indented(f"user: {QUESTION}")
    command = models.argv("exec", "-i", "client", "--", "python", "-u", "-")
    print("    tiny: ", end="", flush=True)
    done = subprocess.run(command, input=script, text=True, check=False)
    if done.returncode != 0:
        raise DemoError("The client inside the cluster got no answer; its traceback is above.")


def next_commands(target: Target, url: str) -> None:
    print("\nTry next:")
    for line in (
        *(['eval "$(python3 tests/local_cluster/cluster.py env --name demo)"'] if target.is_local else []),
        f"kubectl -n {NAMESPACE} get infsvc,statefulsets,pods,services",
        f"kubectl -n {NAMESPACE} scale infsvc/tiny --replicas=3",
        "kubectl explain infsvc.spec.cache --recursive",
        f'kubectl -n {NAMESPACE} patch infsvc/tiny --type merge -p \'{{"spec":{{"model":{{"maxModelLen":"1k"}}}}}}\'',
        f'kubectl -n {NAMESPACE} exec client -- python -c \'import openai; print(openai.OpenAI(base_url="{url}/v1", api_key="none").models.list())\'',
        *(["make demo-down"] if target.is_local else [f"helm -n {SYSTEM_NAMESPACE} uninstall paddock"]),
    ):
        print(f"  {line}")


def run() -> None:
    print("Paddock: one InferenceService on a real Kubernetes, answered from inside the cluster.")
    given = bool(os.environ.get("KUBECONFIG") or os.environ.get("CONTEXT"))
    step(1, "a Kubernetes cluster, and the images on its nodes")
    target = given_target() if given else local_target()
    kubectl = target.cluster.kubectl
    typed("kubectl get nodes")
    indented(kubectl.run("get", "nodes"))

    step(2, "the operator")
    typed(f"helm upgrade --install paddock charts/paddock -n {SYSTEM_NAMESPACE} --create-namespace --wait")
    install_chart(target.cluster)
    indented(kubectl.in_namespace(SYSTEM_NAMESPACE).run("get", "pods"))

    step(3, "an InferenceService of two replicas")
    manifest = example(target.model_uri)
    name = manifest["metadata"]["name"]
    models = kubectl.in_namespace(NAMESPACE)
    kubectl.apply(namespace(NAMESPACE))
    typed(
        f"kubectl -n {NAMESPACE} apply -f -  # examples/tiny.yaml, its model.uri set to this cluster's copy"
    )
    indented(yaml.safe_dump(manifest, sort_keys=False))
    indented(models.apply(manifest))
    models.apply(client_pod("client", target.cluster.server_image))

    step(4, "wait on its conditions")
    wait_available(models, name)

    step(5, "ask it from a pod inside the cluster, with the official openai client, streaming")
    url = models.get("infsvc", name)["status"]["url"]
    typed(f"kubectl -n {NAMESPACE} exec -i client -- python -  # base_url={url}/v1")
    ask_from_inside(models, url)

    step(6, "the resource's status")
    typed(f"kubectl -n {NAMESPACE} get infsvc {name}")
    indented(models.run("get", "infsvc", name))
    next_commands(target, url)


def main() -> int:
    try:
        run()
    except (DemoError, KubectlError, TimeoutError, RuntimeError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
