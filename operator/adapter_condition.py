"""AdaptersReady: whether each adapter of the spec is served by each pod that answers, and what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from paddock.operator.adapter_reports import FAILED, LOADED, Reports
from paddock.operator.diagnosis import Problem
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.snapshot import Pod, Snapshot

ADAPTERS_READY = "AdaptersReady"
_SHOWN = 8


def adapters_ready(seen: Snapshot, blueprint: Blueprint) -> tuple[str, str, str] | None:
    """Status, reason and message of the condition; None for a spec whose adapters are not fetched."""
    if blueprint.fetched is None or not blueprint.fetched.wanted:
        return None
    entries = {each["name"]: each["entry"] for each in blueprint.fetched.wanted}
    faults = adapter_problems(seen.adapters, entries.values())
    if faults:
        return "False", faults[0].reason, "; ".join(_shown([fault.message for fault in faults]))
    pods = [pod for pod in seen.pods if _should_serve(pod, blueprint)]
    if not pods:
        return "Unknown", "NoReplica", "No replica that could load them runs yet"
    missing = {name: _without(seen, pods, entry) for name, entry in entries.items()}
    if not any(missing.values()):
        named = ", ".join(_shown([pod.name for pod in pods]))
        return "True", LOADED, f"{', '.join(entries)} loaded on {named}"
    lines = [
        f"{name} on {len(pods) - len(lacking)} of {len(pods)} pods ({lacking[0]})"
        for name, lacking in missing.items()
        if lacking
    ]
    return "Unknown", "Loading", "; ".join(_shown(lines))


def adapter_problems(reports: Reports, entries: Collection[str] | None = None) -> list[Problem]:
    """Of `entries` alone where given."""
    return [
        Problem("AdapterFailed", f"{pod}: {each.name}: {each.message}")
        for pod, told in sorted(reports.items())
        for each in told
        if each.state == FAILED and (entries is None or each.entry in entries)
    ]


def _should_serve(pod: Pod, blueprint: Blueprint) -> bool:
    return bool(pod.metrics) and not pod.stopping and pod.revision == blueprint.revision


def _without(seen: Snapshot, pods: Sequence[Pod], entry: str) -> list[str]:
    """The pods that do not serve it, each with how far it is."""
    found = []
    for pod in pods:
        told = next((each for each in seen.adapters.get(pod.name, ()) if each.entry == entry), None)
        if told is None or told.state != LOADED:
            found.append(f"{pod.name}: {told.message if told else 'has not heard of it yet'}")
    return found


def _shown(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
