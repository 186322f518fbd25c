"""The engine core's books on adapters: which are served, and which of them the workers hold. Torch-free."""

import os
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from paddock.engine.executor.base import Executor
from paddock.engine.lora.adapter import Adapter, AdapterLimits


@dataclass(frozen=True, slots=True)
class AdapterFault:
    """Why an order was not carried out, as an HTTP status and in words."""

    status: int
    message: str


@dataclass(slots=True)
class AdapterBooks:
    """Workers hold up to `max_cpu_loras`; the one used longest ago goes first, and is read again when it is asked for."""

    limits: AdapterLimits
    executor: Executor
    served: dict[str, Adapter] = field(default_factory=dict)
    """By name."""
    num_changes: int = 0
    """How often `served` has changed."""
    _held: OrderedDict[int, Adapter] = field(default_factory=OrderedDict)
    _known: dict[int, Adapter] = field(default_factory=dict)
    """Served, or kept for requests that have not ended."""
    _lost: dict[int, str] = field(default_factory=dict)
    """Of adapters whose files could not be read a second time."""
    _num_loaded: int = 0

    def load(
        self,
        name: str,
        path: str,
        base_model_name: str | None,
        in_place: bool,
        in_use: Collection[int],
    ) -> AdapterFault | None:
        """Have the workers read it and serve it under `name`; `in_place` replaces the one of that name.

        A fault leaves everything as it was. `in_use` are the adapters of running requests.
        """
        known = self.served.get(name)
        if known is not None and not in_place:
            return AdapterFault(
                400,
                f"The adapter {name!r} is loaded already, from {known.path}. Unload it, or set load_inplace.",
            )
        # Not pathlib's: those raise for some paths that a caller may send.
        if not os.path.isdir(os.path.expanduser(path)):
            return AdapterFault(404, f"The adapter {name!r} cannot be loaded: there is no folder {path}.")
        self._num_loaded += 1
        adapter = Adapter(self._num_loaded, name, path, base_model_name)
        problem = self.executor.hold_adapter(adapter)
        if problem is not None:
            return AdapterFault(400, f"The adapter {name!r} cannot be loaded. {problem}")
        self._known[adapter.number] = self._held[adapter.number] = adapter
        self._make_room(0, {*in_use})
        self.served[name] = adapter
        self.num_changes += 1
        return None

    def unload(self, name: str) -> AdapterFault | None:
        """Serve it no more. Requests that have come keep it until they end."""
        if name not in self.served:
            return AdapterFault(404, f"There is no adapter {name!r}; loaded are: {self._names()}.")
        del self.served[name]
        self.num_changes += 1
        return None

    def hold(self, number: int, in_use: Collection[int]) -> str | None:
        """See that the workers hold it; why they cannot, or None."""
        if number in self._held:
            self._held.move_to_end(number)
            return None
        if number not in self._lost:
            adapter = self._known[number]
            self._make_room(1, in_use)
            problem = self.executor.hold_adapter(adapter)
            if problem is None:
                self._held[number] = adapter
                return None
            # Never tried again: what was computed without it is in the prefix cache under its number.
            self._lost[number] = f"The adapter {adapter.name!r} cannot be read any more. {problem}"
            if self.served.get(adapter.name) == adapter:
                self.unload(adapter.name)
        return self._lost[number]

    def sweep(self, wanted: Collection[int]) -> None:
        """Let go of those that are neither served nor among `wanted`, of requests that have not ended."""
        served = {adapter.number for adapter in self.served.values()}
        for number in [each for each in self._known if each not in served and each not in wanted]:
            if number in self._held:
                self._drop(number)
            del self._known[number]
            self._lost.pop(number, None)

    @property
    def keeps_retired(self) -> bool:
        """Whether `sweep` may find something."""
        return len(self._known) > len(self.served)

    def _make_room(self, more: int, in_use: Collection[int]) -> None:
        for number in [each for each in self._held if each not in in_use]:
            if len(self._held) + more <= self.limits.max_cpu_loras:
                return
            self._drop(number)

    def _drop(self, number: int) -> None:
        del self._held[number]
        self.executor.drop_adapter(number)

    def _names(self) -> str:
        return ", ".join(sorted(self.served)) or "none"
