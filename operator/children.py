"""What the watched children of every InferenceService looked like last, fed by watches, lists and our own writes.

Whatever comes first wins by resourceVersion, so late news of an old state change nothing, and the echo of our
own write is no news. Nor is what nobody here reads, such as the status of a PodDisruptionBudget. Bodies are
kept as JSON: a tenth of the memory that dictionaries take.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paddock.operator.plan.labels import SERVICE_LABEL
from paddock.operator.workqueue import Key

CHILDREN = {
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "Service": ("", "v1", "services"),
    "ServiceAccount": ("", "v1", "serviceaccounts"),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "Pod": ("", "v1", "pods"),
    "EndpointSlice": ("discovery.k8s.io", "v1", "endpointslices"),
}
"""Group, version and plural of each watched kind."""

_SAID_ELSEWHERE = {"apiVersion", "kind"}
_STATUS_UNREAD = ("Service", "PodDisruptionBudget", "HorizontalPodAutoscaler")
_SERVICE_OF_SLICE = "kubernetes.io/service-name"
_REMEMBERED_ENDS = 10_000


@dataclass(frozen=True)
class News:
    """One state of one child. `key`: the InferenceService that its label names, None without one. `data`: the body as
    far as it is read, without its kind and version.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    version: int
    key: Key | None
    data: bytes

    @classmethod
    def of(cls, kind: str, body: Mapping[str, Any]) -> News:
        meta = body["metadata"]
        kept = {key: value for key, value in meta.items() if key not in ("managedFields", "resourceVersion")}
        unread = _SAID_ELSEWHERE | ({"status"} if kind in _STATUS_UNREAD else set())
        read = {key: value for key, value in body.items() if key not in unread}
        service = _service_of(kind, meta.get("labels") or {})
        return cls(
            kind=kind,
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            version=int(meta["resourceVersion"]),
            key=(meta["namespace"], service) if service else None,
            data=json.dumps({**read, "metadata": kept}, separators=(",", ":")).encode(),
        )

    @property
    def place(self) -> tuple[str, str, str]:
        return self.kind, self.namespace, self.name

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"kind": self.kind, **json.loads(self.data)}
        body["metadata"]["resourceVersion"] = str(self.version)
        return body


def _service_of(kind: str, labels: Mapping[str, str]) -> str | None:
    """Of the endpoints only those of the client Service matter; the headless one has its own."""
    service = labels.get(SERVICE_LABEL)
    return None if kind == "EndpointSlice" and labels.get(_SERVICE_OF_SLICE) != service else service


class Children:
    """The latest state of each child, by the InferenceService it belongs to."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str, str], News] = {}
        self._of: dict[Key, dict[tuple[str, str, str], News]] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._latest)

    def wrote(self, body: Mapping[str, Any]) -> None:
        """A write of ours left the object like this."""
        if body.get("kind") in CHILDREN:
            self.saw(News.of(body["kind"], body))

    def removed(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """We removed it, or found it gone."""
        self.lost((kind, namespace, name), uid, math.inf)

    def of(self, key: Key, kind: str) -> list[dict[str, Any]]:
        """Bodies of one kind, by name."""
        found = [news for news in self._of.get(key, {}).values() if news.kind == kind]
        return [news.body() for news in sorted(found, key=lambda news: news.name)]

    def keys(self, kind: str) -> list[Key]:
        """Of those that have such a child."""
        return sorted({news.key for news in self._latest.values() if news.kind == kind and news.key})

    def saw(self, news: News) -> set[Key]:
        """Takes a state in. Returns whom it concerns: nobody when it tells nothing that is not known."""
        known = self._latest.get(news.place)
        is_late = known is not None and known.version >= news.version
        if is_late or self._ended.get(news.uid, -1) >= news.version:
            return set()
        is_same = known is not None and known.data == news.data
        concerned = self._drop(news.place)
        self._latest[news.place] = news
        if news.key is not None:
            self._of.setdefault(news.key, {})[news.place] = news
            concerned.add(news.key)
        return set() if is_same else concerned

    def lost(self, place: tuple[str, str, str], uid: str, version: float) -> set[Key]:
        """The object of this uid is gone as of `version`, and no older news bring it back.

        Newer ones do: what lost its label counts as gone until the label is put back.
        """
        self._ended[uid] = max(version, self._ended.get(uid, -1))
        if len(self._ended) > _REMEMBERED_ENDS:
            self._ended.popitem(last=False)
        known = self._latest.get(place)
        is_meant = known is not None and known.uid == uid and known.version <= version
        return self._drop(place) if is_meant else set()

    def listed(self, kind: str, namespace: str | None, news: Iterable[News], version: int) -> set[Key]:
        """Takes a list in, which is complete as of `version`: what it lacks has gone unless it came later.

        `namespace`: the list is of this one only; None for all.
        """
        concerned: set[Key] = set()
        present = set()
        for each in news:
            present.add(each.place)
            concerned |= self.saw(each)
        for place, known in list(self._latest.items()):
            in_scope = known.kind == kind and namespace in (None, known.namespace)
            if in_scope and place not in present and known.version <= version:
                concerned |= self.lost(place, known.uid, version)
        return concerned

    def _drop(self, place: tuple[str, str, str]) -> set[Key]:
        known = self._latest.pop(place, None)
        if known is None or known.key is None:
            return set()
        siblings = self._of[known.key]
        del siblings[place]
        if not siblings:
            del self._of[known.key]
        return {known.key}
