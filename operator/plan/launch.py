"""How the server is started in each pod of a group: its command, its arguments and its environment. Pure.

All pods of a group come from one template. What differs, the rank of the node and the group, each pod reads from
its own labels.
"""

from __future__ import annotations

from typing import Any

from paddock.operator.durations import seconds
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.group_secret import variable
from paddock.operator.plan.labels import GROUP_LABEL, pods_name
from paddock.operator.resource import MODEL_PATH

NODE_RANK = "NODE_RANK"
_GROUP_INDEX = "GROUP_INDEX"
_LOCAL = "--data-parallel-size-local"
_POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
_FOLLOW = f'if [ "${NODE_RANK}" != 0 ]; then set -- "$@" --headless; fi; '
_RUN = 'exec python -m paddock.server "$@"'


def start(blueprint: Blueprint) -> dict[str, Any]:
    """`command`, where the image's own does not do, and `args`."""
    arguments = ["serve", MODEL_PATH, *blueprint.arguments]
    cut = blueprint.layout
    if cut.nodes == 1:
        return {"args": arguments}
    script = (
        (_first_engine(cut.engines) if cut.engines else "") + (_FOLLOW if cut.has_followers else "") + _RUN
    )
    return {"command": ["sh", "-c", script, "paddock"], "args": [*arguments, *_rendezvous(blueprint)]}


def given_variables(blueprint: Blueprint) -> list[dict[str, Any]]:
    """The user's own, as of a proxy or a certificate authority."""
    return [item.model_dump(by_alias=True, exclude_none=True) for item in blueprint.spec.template.env or ()]


def environment(blueprint: Blueprint) -> list[dict[str, Any]]:
    """The user's variables, then the operator's own."""
    drain = str(seconds(blueprint.spec.rollout.drain_timeout))
    secrets: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"secretKeyRef": dict(reference)}}
        for name, reference in sorted(blueprint.secrets.items())
    ]
    own: list[dict[str, Any]] = [
        {"name": "HOME", "value": "/tmp"},
        {"name": "PADDOCK_DRAIN_TIMEOUT_SECONDS", "value": drain},
        *secrets,
    ]
    return [*given_variables(blueprint), *own, *(_of_member(blueprint) if blueprint.layout.nodes > 1 else ())]


def _of_member(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Its place in the group, and what lets it in where the pods meet."""
    place = _from_label(NODE_RANK, _POD_INDEX_LABEL)
    if not blueprint.layout.meets:
        return [place]
    return [place, _from_label(_GROUP_INDEX, GROUP_LABEL), variable(blueprint.service.name)]


def _first_engine(engines: int) -> str:
    """Engines are numbered pod by pod."""
    return f'set -- "$@" --data-parallel-start-rank "$(({NODE_RANK} * {engines}))"; '


def _rendezvous(blueprint: Blueprint) -> list[str]:
    """The kubelet puts the variables of the pod in place of `$(NAME)`."""
    service, cut = blueprint.service, blueprint.layout
    leader = f"{service.name}-$({_GROUP_INDEX})-0.{pods_name(service.name)}.{service.namespace}.svc"
    if cut.engines:
        given = _LOCAL in blueprint.arguments
        here = () if given else (_LOCAL, str(cut.engines))
        return [*here, *(("--data-parallel-address", leader) if cut.meets else ())]
    return [
        *("--nnodes", str(blueprint.layout.nodes)),
        *("--node-rank", f"$({NODE_RANK})"),
        *("--master-addr", leader),
    ]


def _from_label(variable: str, label: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}
