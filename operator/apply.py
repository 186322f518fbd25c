"""Carries out a plan: applies what differs, deletes exactly what was seen, and records what it did."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from paddock.operator.client import Api, ApiError
from paddock.operator.events import Recorder
from paddock.operator.plan.actions import Action, Annotate, Apply, Delete
from paddock.operator.plan.group_secret import IssueSecret
from paddock.operator.quantities import amount
from paddock.operator.resource import InferenceService

APPLIED = "paddock.dev/applied"
_SECRET_BYTES = 32
_QUANTITY_MAPS = ("limits", "requests")
_QUANTITIES = ("sizeLimit", "averageValue")


class NameTaken(Exception):
    """An object of the name that we need belongs to somebody else."""


class KedaMissing(Exception):
    """The spec asks for a ScaledObject, and there can be none."""


async def perform(api: Api, recorder: Recorder, service: InferenceService, actions: Sequence[Action]) -> int:
    """Performs `actions` in order and stops at the first error. Returns how many changed an object."""
    changed = 0
    for action in actions:
        if isinstance(action, IssueSecret):
            changed += await _issue(api, action)
            continue
        if isinstance(action, Delete):
            await api.delete(action.kind, action.namespace, action.name, action.uid, action.resource_version)
        elif isinstance(action, Annotate):
            await api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": dict(action.metadata)})
        elif not await _apply(api, action, service):
            continue
        changed += 1
        if action.note is not None:
            await recorder.record(service, action.note)
    return changed


async def _issue(api: Api, action: IssueSecret) -> bool:
    """Whether there was none of the name."""
    try:
        await api.create(action.manifest(secrets.token_hex(_SECRET_BYTES)))
    except ApiError as error:
        if error.status == 409:
            return False
        raise
    return True


async def _apply(api: Api, action: Apply, service: InferenceService) -> bool:
    """Whether the object is another one now."""
    manifest = with_digest(action.manifest)
    with _keda(manifest["kind"]):
        live = action.live or await _made(api, manifest, service)
        if live is None:
            return True
        if is_applied(_content(manifest), live):
            return False
        applied = await api.apply(manifest)
    return _version(applied) != _version(live)


async def _made(api: Api, manifest: Mapping[str, Any], service: InferenceService) -> dict[str, Any] | None:
    """None once it is made, or the object of ours that exists although the snapshot did not show it.

    Never takes over what is not ours.
    """
    try:
        await api.make(manifest)
        return None
    except ApiError as error:
        if error.status != 409:
            raise
        meta = manifest["metadata"]
        live = await api.named(manifest["kind"], meta["namespace"], meta["name"])
        if live is None:
            raise  # gone again meanwhile
    if owned_by(live, service.uid):
        return live
    raise NameTaken(
        f"{manifest['kind']} {meta['name']} exists in namespace {meta['namespace']} and does not belong to "
        f"InferenceService {service.name}: delete or rename one of them"
    )


def _content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Without the kind, which the items of a list do not repeat."""
    return {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}


def _version(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """Changes with the object's spec and with what we apply, but not with its status."""
    meta = body["metadata"]
    return meta.get("generation"), (meta.get("annotations") or {}).get(APPLIED)


@contextmanager
def _keda(kind: str) -> Iterator[None]:
    """A kind that the cluster does not know, or that the chart gave us no right to, is the user's to mend."""
    try:
        yield
    except ApiError as error:
        if kind == "ScaledObject" and error.status in (403, 404):
            raise KedaMissing(
                "spec.autoscaling.provider: keda needs KEDA in the cluster, and keda.enabled=true in this operator's chart "
                f"({error.status} {error.reason})"
            ) from error
        raise


def owned_by(body: Mapping[str, Any], uid: str) -> bool:
    """Whether the object of this uid controls `body`."""
    owners = body["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid and owner.get("controller") for owner in owners)


def with_digest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """`manifest` with a hash of itself, by which a field that we no longer set is noticed on the live object."""
    meta = manifest["metadata"]
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    return {**manifest, "metadata": {**meta, "annotations": {**meta.get("annotations", {}), APPLIED: digest}}}


def is_applied(manifest: Any, live: Any) -> bool:
    """Whether every field of `manifest` stands in `live` already; what else is there belongs to others."""
    if isinstance(manifest, Mapping):
        # The API server drops an empty map or list in some places: absent is as good.
        return isinstance(live, Mapping) and all(
            _is_same(key, value, live[key]) if key in live else value in ({}, [])
            for key, value in manifest.items()
        )
    if isinstance(manifest, list):
        return (
            isinstance(live, list)
            and len(manifest) == len(live)
            and all(is_applied(a, b) for a, b in zip(manifest, live, strict=True))
        )
    return bool(manifest == live)


def _is_same(key: str, value: Any, live: Any) -> bool:
    """As is_applied, for the field `key`: the API server writes quantities in a form of its own."""
    if key in _QUANTITY_MAPS and isinstance(live, Mapping):
        return all(name in live and amount(live[name]) == amount(each) for name, each in value.items())
    if key in _QUANTITIES and isinstance(value, str) and isinstance(live, str):
        return value == live or (amount(value) is not None and amount(value) == amount(live))
    return is_applied(value, live)
