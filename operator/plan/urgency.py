"""What the first pods of a service need, for when other services wait for theirs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from paddock.operator.plan.actions import AUTOSCALERS, Action, Apply
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.snapshot import Snapshot

_OF_USE_ONCE_READY = ("Service", "PodDisruptionBudget", *AUTOSCALERS)
"""Clients are led to ready pods only, and no others are kept from eviction or counted for scaling. Made after the pods, these
also spare Kubernetes writes: it follows each step of a pod in endpoints and in the status of a budget.
"""


def urgent(actions: Sequence[Action], blueprint: Blueprint, seen: Snapshot) -> list[Action]:
    """`actions`, but without what can wait where they make the first objects of all; a later plan has it again.

    A service that stands half, since a name is taken, must not get pods for it that a calm pass would not make.
    """
    begins = not (seen.stateful_sets or seen.companions) and "StatefulSet" in map(_makes, actions)
    can_wait = set(_OF_USE_ONCE_READY) if begins else set()
    if blueprint.layout.nodes > 1:
        can_wait.discard("Service")  # by the names that it gives them the pods of a group find each other
    return [action for action in actions if _makes(action) not in can_wait]


def _makes(action: Action) -> str | None:
    """The kind of the object that is not there yet."""
    return action.manifest["kind"] if isinstance(action, Apply) and action.live is None else None
