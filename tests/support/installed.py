"""The cluster as installed, and what tests ask of an InferenceService on it."""

from dataclasses import dataclass
from pathlib import Path

from kubectl import Kubectl, Manifest, condition
from waiting import NotYet, until

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/models/tiny/model"
WHOLE = {"Accepted": "True", "Available": "True", "Progressing": "False"}
"""Conditions of a service of which all runs as it should."""


@dataclass(frozen=True)
class Cluster:
    """What a test needs to know of the cluster."""

    kubectl: Kubectl
    helm: str
    server_image: str
    operator_image: str
    model_image: str

    @property
    def model_uri(self) -> str:
        """The tiny model as an image volume, which the restricted standard admits."""
        return f"oci://{self.model_image}"

    @property
    def host_uri(self) -> str:
        """The tiny model on the nodes' disk: the tests' chart values allow it, the restricted standard does not."""
        return f"file://{MODEL}"


def service_url(kubectl: Kubectl, name: str) -> str:
    return f"http://{name}.{kubectl.namespace}.svc"


def engine_pods(kubectl: Kubectl, name: str) -> list[Manifest]:
    """The service's pods that are not on their way out."""
    pods = kubectl.list("pods", f"paddock.dev/service={name}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def available(kubectl: Kubectl, name: str, *, replicas: int, seconds: float = 240) -> Manifest:
    """Wait until the latest generation runs whole: Available, not Progressing, exactly `replicas` ready. Returns the resource."""

    def whole() -> Manifest:
        resource = kubectl.get("infsvc", name)
        status = resource.get("status", {})
        conditions = {kind: condition(resource, kind)["status"] for kind in WHOLE}
        counts = (status.get("readyReplicas"), status.get("replicas"))
        current = status.get("observedGeneration") == resource["metadata"]["generation"]
        if not (current and conditions == WHOLE and set(counts) == {replicas}):
            messages = [
                f"{c['type']}={c['status']} {c['reason']}: {c['message']}"
                for c in status.get("conditions", [])
            ]
            raise NotYet(f"ready, replicas {counts}, current generation {current}; " + "; ".join(messages))
        pods = engine_pods(kubectl, name)
        ready_pods = sum(condition(pod, "Ready")["status"] == "True" for pod in pods)
        if not len(pods) == ready_pods == replicas:
            raise NotYet(f"the status speaks of {replicas}, and of {len(pods)} pods {ready_pods} are ready")
        return resource

    return until(whole, seconds=seconds, what=f"{name} to be available with {replicas} replicas", every=0.5)


def said(kubectl: Kubectl, name: str, kind: str, status: str, *words: str) -> Manifest:
    """Wait for the condition to have that status and its reason or message to hold every word."""

    def holds() -> Manifest:
        found = condition(kubectl.get("infsvc", name), kind)
        text = f"{found['reason']}: {found['message']}"
        if found["status"] == status and all(word in text for word in words):
            return found
        raise NotYet(f"{kind}={found['status']} {text}")

    return until(holds, seconds=90, what=f"{kind}={status} to mention {words}", every=0.5)
