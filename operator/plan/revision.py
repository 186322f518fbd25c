"""Which spec a pod follows, and with what its template was rendered.

A revision is a hash of what the user wrote, never of what the operator made of it: a new operator, a new
default of its own or another server image does not change it, so an upgrade replaces no pod.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

RENDERED_WITH = "paddock.dev/rendered-with"
REVISION = "paddock.dev/revision"
_NOT_IN_PODS = (
    ("replicas",),
    ("nodes",),
    ("clients",),
    ("autoscaling",),
    ("template", "acceleratorMemory"),
    ("rollout", "maxSurge"),
    ("rollout", "maxUnavailable"),
)


@dataclass(frozen=True)
class Rendering:
    """What the operator, not the user, decides about a pod template; recorded in the template's annotations.

    `accelerator`: extended resource of which each rank takes one, empty for none. `model_cache`: address of the cache
    for downloads, empty for each pod's own disk.
    """

    version: str
    image: str
    pull_policy: str = "IfNotPresent"
    accelerator: str = ""
    model_cache: str = ""

    def record(self) -> str:
        """Without what is not set, so that a new field leaves old records as they are."""
        known = {name: value for name, value in asdict(self).items() if value != ""}
        return json.dumps(known, sort_keys=True, separators=(",", ":"))

    @classmethod
    def recorded(cls, template: Mapping[str, Any]) -> Rendering | None:
        """What `template` was rendered with; None when the record is absent or of another shape."""
        text = (template.get("metadata", {}).get("annotations") or {}).get(RENDERED_WITH, "")
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None


def revision_of(
    spec: Mapping[str, Any], schema: Mapping[str, Any], nodes: int = 1, *, fetches_adapters: bool = False
) -> str:
    """Hash of the fields of `spec` that shape pods, without those at their default in `schema` (field ->
    schema). `nodes`: pods in a group, given or derived. `fetches_adapters`: pods have a container for that.

    Defaults are left out because the API server adds those of a newer CRD to objects that nobody touched.
    """
    canonical = _undefaulted(_without(spec, _NOT_IN_PODS), {"properties": schema})
    # One pod is what every group had before there were larger ones.
    made = ({"nodes": nodes} if nodes > 1 else {}) | ({"fetchesAdapters": True} if fetches_adapters else {})
    text = json.dumps(canonical | made, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _without(spec: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
    pruned = dict(spec)
    for head, *tail in paths:
        if tail and isinstance(pruned.get(head), Mapping):
            pruned[head] = {key: value for key, value in pruned[head].items() if key != tail[0]}
        elif not tail:
            pruned.pop(head, None)
    return pruned


def _undefaulted(value: Any, schema: Mapping[str, Any]) -> Any:
    if not isinstance(value, Mapping) or "properties" not in schema:
        return value
    fields = schema["properties"]
    inner = {name: _undefaulted(item, fields.get(name, {})) for name, item in value.items()}
    return {
        name: item
        for name, item in inner.items()
        if item not in ({}, None)
        and not ("default" in fields.get(name, {}) and item == fields[name]["default"])
    }
