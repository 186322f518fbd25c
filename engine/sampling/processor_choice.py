"""Which logits processors there are: those of every request, and those a request may name."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from paddock.engine.dotted_path import DottedPathError, load_class
from paddock.engine.sampling.logits_processor import LogitsProcessor
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings, SettingsError

MOST_NAMED = 16
"""Processors that one request may name; each costs a pass over its logits."""

FIELD = "logits_processors"
Fault = tuple[str, str]
"""The request's field, and what is wrong with it."""


class ProcessorChoice:
    """Loads classes, once each, and checks requests against them. The core and each worker have their own."""

    def __init__(self, settings: EngineSettings) -> None:
        """Raises `SettingsError` when a processor of the server's own cannot be loaded, or the pattern is none."""
        self._classes: dict[str, type[LogitsProcessor]] = {}
        self._pattern = _compiled(settings.logits_processor_pattern)
        self.for_all = settings.logits_processors
        for path in self.for_all:
            try:
                self.load(path)
            except DottedPathError as error:
                raise SettingsError(f"--logits-processors: {error}") from error

    def load(self, path: str) -> type[LogitsProcessor]:
        """Raises `DottedPathError`."""
        if path not in self._classes:
            # That the base itself is abstract is the point: what is loaded is not.
            self._classes[path] = load_class(path, LogitsProcessor)  # type: ignore[type-abstract]
        return self._classes[path]

    def fault_in(self, sampling: SamplingParams) -> Fault | None:
        """Why a request cannot be served by the processors it names, or by those of every request."""
        if len(sampling.logits_processors) > MOST_NAMED:
            named = len(sampling.logits_processors)
            return (
                FIELD,
                f"{FIELD} names {named} processors; at most {MOST_NAMED} are applied to one request.",
            )
        for path in sampling.logits_processors:
            fault = self._fault_in_name(path)
            if fault is not None:
                return FIELD, fault
        return next(self._objections(sampling), None)

    def _fault_in_name(self, path: str) -> str | None:
        if self._pattern is None:
            return (
                f"{FIELD} names {path!r}, but this server lets requests name none: start it with "
                "--logits-processor-pattern."
            )
        if not self._pattern.fullmatch(path):
            return f"{FIELD} names {path!r}, which --logits-processor-pattern of this server does not match."
        try:
            self.load(path)
        except DottedPathError as error:
            return f"{FIELD}: {error}."
        return None

    def _objections(self, sampling: SamplingParams) -> Iterator[Fault]:
        for path in (*self.for_all, *sampling.logits_processors):
            try:
                self.load(path).check(sampling, arguments_for(path, sampling))
            except Exception as error:  # noqa: BLE001
                # Code of the user's own: whatever it raises must not end the engine.
                yield FIELD, f"{path}: {error}"


def arguments_for(path: str, sampling: SamplingParams) -> Mapping[str, Any]:
    """What a request gives the processor at `path`."""
    return {**sampling.extra_args, **sampling.logits_processors.get(path, {})}


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"--logits-processor-pattern {pattern!r} is no regular expression: {error}"
        ) from error
