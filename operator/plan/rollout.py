"""The next steps from the groups that exist to the groups that are wanted. Pure, and stateless between calls.

Numbers: N wanted groups, S maxSurge, U maxUnavailable. A group is *current* when its StatefulSet has the
wanted revision, and *available* when it is whole, ready and not about to be stopped. In this order:

1. A current group that still runs pods of another revision is finished: those pods go. (The operator died
   between writing the template and deleting the pods, or a spec was edited twice.)
2. More than N+S groups: the excess goes, unavailable ones first, then outdated ones, then the highest index.
3. Fewer than N groups, or a surge is due and fewer than N+S: new groups at the lowest free indices.
4. Outdated groups that are broken are replaced at once: they cost nothing and must not block their own
   repair. So are those whose pods already follow the wanted revision (a revert caught in time). Outdated
   groups that are unavailable for another reason (a slow start, a failed probe) cost nothing either, but come
   only while no more than max(1, U) current groups are still unproven: a short blip of all groups must not
   move all of them to a revision that has not served yet.
5. Available outdated groups are replaced, lowest index first, while at least N-U stay available.
6. When no group is outdated, groups beyond N are given back: highest index first, an available one only while
   N others are available.

The state is read from the children each time, so a revert, a second edit, or a crash of the operator at any
point continues from what is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice


class Do(StrEnum):
    """What happens to a group."""

    CREATE = "create"
    UPDATE = "update"
    RESTART = "restart"
    REMOVE = "remove"


@dataclass(frozen=True)
class Step:
    """One action on the group with this index."""

    do: Do
    index: int


@dataclass(frozen=True)
class Group:
    """One live group: the revision of its StatefulSet's template, and those of the pods it runs."""

    index: int
    revision: str
    pod_revisions: frozenset[str]
    available: bool
    broken: bool = False

    @property
    def has_stale_pods(self) -> bool:
        return not self.pod_revisions <= {self.revision}


@dataclass(frozen=True)
class Wanted:
    """What the spec asks for. `occupied`: indices without StatefulSet whose old pods are still stopping."""

    replicas: int
    revision: str
    max_surge: int = 0
    max_unavailable: int = 1
    occupied: frozenset[int] = field(default_factory=frozenset)


def next_steps(wanted: Wanted, groups: Sequence[Group]) -> list[Step]:
    """Every step that may be taken now. None when all is as wanted, or when what is under way must finish
    first.
    """
    excess = _excess(wanted, groups)
    kept = [g for g in groups if g not in excess]
    given_back = _given_back(wanted, kept)
    staying = [g for g in kept if g not in given_back]
    created = _created(wanted, groups, kept)
    return [
        *(Step(Do.RESTART, g.index) for g in staying if _is_current(g, wanted) and g.has_stale_pods),
        *(Step(Do.REMOVE, g.index) for g in excess),
        *(Step(Do.CREATE, index) for index in created),
        *(Step(Do.UPDATE, g.index) for g in _updated(wanted, staying, len(created))),
        *(Step(Do.REMOVE, g.index) for g in given_back),
    ]


def _is_current(group: Group, wanted: Wanted) -> bool:
    return group.revision == wanted.revision


def _serves(group: Group, wanted: Wanted) -> bool:
    """Available now, and not about to be stopped by rule 1."""
    return group.available and not (_is_current(group, wanted) and group.has_stale_pods)


def _core(wanted: Wanted, kept: Sequence[Group]) -> list[Group]:
    """The groups that a finished rollout keeps: those with the lowest indices."""
    return sorted(kept, key=lambda g: g.index)[: wanted.replicas]


def _excess(wanted: Wanted, groups: Sequence[Group]) -> list[Group]:
    """Rule 2."""
    count = max(0, len(groups) - wanted.replicas - (wanted.max_surge if wanted.replicas else 0))
    by_worth = sorted(groups, key=lambda g: (_serves(g, wanted), _is_current(g, wanted), -g.index))
    return by_worth[:count]


def _created(wanted: Wanted, groups: Sequence[Group], kept: Sequence[Group]) -> list[int]:
    """Rule 3: indices of new groups. A surge is due while groups to keep are outdated."""
    outdated = sum(not _is_current(g, wanted) for g in _core(wanted, kept))
    count = max(0, wanted.replicas + min(wanted.max_surge, outdated) - len(kept))
    taken = {g.index for g in groups} | wanted.occupied
    return list(islice((index for index in itertools.count() if index not in taken), count))


def _updated(wanted: Wanted, staying: Sequence[Group], created: int) -> list[Group]:
    """Rules 4 and 5. A surge group that became outdated is replaced only while it does not serve."""
    core = _core(wanted, staying)
    if all(_is_current(g, wanted) for g in core):
        return []
    outdated = [g for g in staying if not _is_current(g, wanted)]
    chosen = [g for g in outdated if _is_free(g, wanted)]
    unproven = created + len(chosen) + sum(_is_current(g, wanted) and not _serves(g, wanted) for g in staying)
    serving = sum(_serves(g, wanted) for g in staying)
    for group in sorted(
        (g for g in outdated if g not in chosen and (g in core or not g.available)),
        key=lambda g: (g.available, g.index),
    ):
        if not group.available and unproven < max(1, wanted.max_unavailable):
            unproven += 1
            chosen.append(group)
        elif group.available and serving - 1 >= wanted.replicas - wanted.max_unavailable:
            serving -= 1
            chosen.append(group)
    return chosen


def _is_free(group: Group, wanted: Wanted) -> bool:
    """An outdated group whose replacement stops nothing: it is broken, or its pods (if any) are as wanted
    already.
    """
    return (group.broken and not group.available) or group.pod_revisions <= {wanted.revision}


def _given_back(wanted: Wanted, kept: Sequence[Group]) -> list[Group]:
    """Rule 6. Broken groups go before healthy ones of a higher index."""
    if any(not _is_current(g, wanted) for g in _core(wanted, kept)):
        return []
    serving = sum(_serves(g, wanted) for g in kept)
    spare = sorted(kept, key=lambda g: (g.broken and not g.available, g.index), reverse=True)
    given_back: list[Group] = []
    for group in spare[: max(0, len(kept) - wanted.replicas)]:
        if not _serves(group, wanted):
            given_back.append(group)
        elif serving > wanted.replicas:
            serving -= 1
            given_back.append(group)
    return given_back
