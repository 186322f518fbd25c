"""A valid object of each kind the tests apply, to deviate from by name."""

from typing import Any

Manifest = dict[str, Any]

RESTRICTED_LABELS = {"pod-security.kubernetes.io/enforce": "restricted"}


def namespace(name: str, *, restricted: bool = True) -> Manifest:
    """A namespace under the restricted Pod Security Standard, or under none (host paths need that)."""
    labels = RESTRICTED_LABELS if restricted else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def inference_service(name: str, uri: str, **spec: Any) -> Manifest:
    """An InferenceService of the tiny model, small enough for several on one machine; `spec` is merged by group."""
    base: Manifest = {
        "model": {"uri": uri, "maxModelLen": 1024},
        "cache": {"kvCacheMemoryBytes": 64 * 1024 * 1024},
        "scheduler": {"maxNumSeqs": 32},
        "replicas": 1,
        "rollout": {"drainTimeout": "20s"},
    }
    for group, values in spec.items():
        base[group] = {**base[group], **values} if isinstance(base.get(group), dict) else values
    return {
        "apiVersion": "paddock.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": base,
    }


def claim_on(folder: str, volume: str, claim: str, mode: str) -> tuple[Manifest, Manifest]:
    """A PersistentVolume over a folder of the nodes, and the claim that is bound to it."""
    size, shared = {"storage": "1Gi"}, {"accessModes": [mode], "storageClassName": ""}
    path = {"path": folder, "type": "Directory"}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {**shared, "capacity": size, "hostPath": path},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim},
            "spec": {**shared, "volumeName": volume, "resources": {"requests": size}},
        },
    )


def client_pod(name: str, image: str) -> Manifest:
    """A pod that idles with Python and the `openai` package inside, to ask services from within the cluster."""
    container: Manifest = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", "import signal; signal.sigwait({signal.SIGTERM})"],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
