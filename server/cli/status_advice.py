"""On the screen of `paddock status`: what a person can do about what is wrong, as a command where there is one."""

import re
from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]

_LOGS = "kubectl logs -n {namespace} {pod} --previous"
_DESCRIBE = "kubectl describe -n {namespace} pod {pod}"
_ADVICE = {
    "InvalidSpec": "correct the named fields and apply again; `paddock manifest --check FILE` checks a file",
    "InvalidModelSource": "correct spec.model.uri and apply again",
    "DoesNotFit": "take more ranks or larger devices, or a shorter context, as the message counts, and apply again",
    "NameTaken": "delete or rename the object that holds the name, or name the service otherwise",
    "KedaMissing": "install KEDA and set keda.enabled in the operator's chart, or choose another provider",
    "MetricsApiMissing": "choose another spec.autoscaling.provider: it serves on, and nothing scales it meanwhile",
    "Unschedulable": "free or add nodes, or ask for less in spec.template (resources, nodeSelector, accelerator)",
    "PodRefused": "make spec.template fit the namespace's quota and Pod Security, or let the namespace allow more",
    "ImagePullFailed": "check the image's name and spec.template.imagePullSecrets",
    "ModelPullFailed": "check the image in spec.model.uri and spec.template.imagePullSecrets",
    "SecretMissing": "create the named Secret with that key in namespace {namespace}; pods start by themselves then",
    "ConfigMapMissing": "create the named ConfigMap in namespace {namespace}; pods start by themselves then",
    "VolumeClaimMissing": "create the PersistentVolumeClaim, or correct spec.model.uri and apply again",
    "ModelDownloadFailed": "correct spec.model.uri and spec.model.source as the message says; it is tried again by itself",
    "ModelFolderMissing": "correct the folder in spec.model.uri, or put the model there",
    "HostPathMissing": "put the model on that node, or correct spec.model.uri",
    "MountFailed": f"look at the volume: {_DESCRIBE}",
    "OutOfMemory": "raise spec.template.resources.limits.memory, or lower spec.cache and spec.scheduler.maxNumSeqs",
    "ModelLoadFailed": "mend the model's files or the arguments that the message names, or apply the previous manifest",
    "Crashing": f"mend what the message names and apply again, or apply the previous manifest; the whole log: {_LOGS}",
    "AdapterFailed": "correct that adapter in spec.lora.adapters, or put it there: it is tried again by itself, the others "
    "serve",
    "ContainerStartFailed": "check spec.template.image",
    "ContainerConfigInvalid": "correct spec.template: env, volumes and volumeMounts",
    "ScaledToZero": "kubectl scale -n {namespace} infsvc/{name} --replicas=1",
}
_UNKNOWN = "kubectl describe -n {namespace} infsvc {name}"
_POD = re.compile(r"([a-z0-9-]+-\d+-\d+): ")


def advice(condition: Body, resource: Body) -> str:
    """Of a condition that says something is wrong. A message begins with the pod that it speaks of, if it is of one."""
    meta = resource["metadata"]
    names = {"name": meta["name"], "namespace": meta["namespace"]}
    about = _POD.match(condition["message"])
    text = _ADVICE.get(condition["reason"], _UNKNOWN)
    return text.format(**names, pod=about[1] if about else f"-l paddock.dev/service={meta['name']}")
