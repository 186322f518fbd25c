"""`status.configuration`: the serve arguments that are not at their default, and the field that set each. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from paddock.engine.config import Sourced, effective

SHOWN_CHARACTERS = 256
"""A chat template may be long; the status only has to tell which one it is."""

_MASK = "***"
_MODEL = "model"
_MODEL_NAME = "served-model-name"

Secrets = Mapping[str, Mapping[str, str]]


def configuration(given: Sourced, name: str, uri: str, secrets: Secrets) -> tuple[dict[str, str], ...]:
    """One entry per argument, by name. `name` is what clients call the model unless the spec says otherwise; `uri` is
    where it comes from, which tells more than the path that it has in every pod; `secrets` maps arguments to the {name, key} that their value comes from, and the value is not shown.
    """
    shown = {_MODEL_NAME: {"value": name, "origin": "metadata.name"}, **effective(given)}
    shown |= {_MODEL: {"value": uri, "origin": "spec.model.uri"}}
    shown |= {
        argument: {"value": _MASK, "origin": f"Secret {ref['name']}, key {ref['key']}"}
        for argument, ref in secrets.items()
    }
    return tuple(
        {"argument": argument, "value": _clipped(entry["value"]), "origin": entry["origin"]}
        for argument, entry in sorted(shown.items())
    )


def _clipped(value: str) -> str:
    return value if len(value) <= SHOWN_CHARACTERS else value[: SHOWN_CHARACTERS - 1] + "…"
