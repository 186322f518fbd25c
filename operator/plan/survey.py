"""What a pod read of its model's files before it downloaded them, as it left it in its last words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddock.operator.resource import SURVEY_CONTAINER


@dataclass(frozen=True)
class Survey:
    """`config`: fields of the model's config.json. `elements`: how many its weights have, by safetensors' type."""

    config: Mapping[str, Any]
    elements: Mapping[str, int]


def survey_of(pod: Mapping[str, Any]) -> Survey | None:
    """None while it is not known, or where the files did not tell."""
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    for each in statuses:
        ended = each.get("state", {}).get("terminated") or {}
        if each["name"] == SURVEY_CONTAINER and ended.get("exitCode") == 0:
            return _read(ended.get("message", ""))
    return None


def _read(text: str) -> Survey | None:
    """None for what is not a survey: a model's files are written by anybody."""
    try:
        told = json.loads(text)
        config, elements = dict(told["config"]), dict(told["elements"])
        counts = {str(dtype): int(count) for dtype, count in elements.items()}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return Survey(config, counts) if all(count >= 0 for count in counts.values()) else None
