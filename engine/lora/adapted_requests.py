"""What the engine core does for requests that ask for an adapter, beside what it does for all."""

from collections.abc import Collection, Iterator

import msgspec

from paddock.engine.executor.base import Executor
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.lora.adapter import Adapter, AdapterLimits
from paddock.engine.lora.books import AdapterBooks, AdapterFault
from paddock.engine.messages import AddRequest, LoadAdapter, RequestRefused, UnloadAdapter
from paddock.engine.scheduler.request import NO_ROW, Request


class AdaptedRequests:
    """Sees that workers hold an adapter before a row uses it, and that it goes when nobody can ask for it any more."""

    def __init__(self, limits: AdapterLimits, executor: Executor, requests: Collection[Request]) -> None:
        """`requests` is a view of all that have not ended."""
        self._books = AdapterBooks(limits, executor)
        self._requests = requests
        self._failed: dict[int, str] = {}
        """By row, why it has no adapter."""

    @property
    def served(self) -> list[Adapter]:
        return list(self._books.served.values())

    @property
    def num_changes(self) -> int:
        """How often `served` has changed."""
        return self._books.num_changes

    def find(self, name: str) -> Adapter | None:
        return self._books.served.get(name)

    def load(self, order: LoadAdapter) -> AdapterFault | None:
        """A fault leaves everything as it was."""
        fault = self._books.load(
            order.name, order.path, order.base_model_name, order.in_place, self._running()
        )
        self.sweep()
        return fault

    def unload(self, order: UnloadAdapter) -> AdapterFault | None:
        """Requests that have come keep it until they end."""
        fault = self._books.unload(order.name)
        self.sweep()
        return fault

    def prepare(self, plan: StepPlan) -> None:
        """Before the plan is submitted: the workers are to hold what its new rows use. A row whose adapter cannot be
        had runs without it, and its answer is thrown away."""
        for new in plan.new_rows:
            self._failed.pop(new.row, None)
            problem = self._books.hold(new.adapter, self._running()) if new.adapter else None
            if problem is not None:
                self._failed[new.row], new.adapter = problem, 0

    def spoil(self, result: StepResult) -> None:
        """Put the reason in place of what was sampled without the adapter that was asked for."""
        if self._failed:
            result.sampled = [
                msgspec.structs.replace(sampled, error=self._failed[sampled.row])
                if sampled.row in self._failed
                else sampled
                for sampled in result.sampled
            ]

    def sweep(self) -> None:
        """Once requests have ended."""
        if self._books.keeps_retired:
            self._books.sweep({adapter.number for adapter in self._wanted()})

    def names(self, *, running: bool) -> list[str]:
        """Of the adapters that running requests use, or waiting ones."""
        return sorted({adapter.name for adapter in self._wanted(running)})

    def _running(self) -> set[int]:
        return {adapter.number for adapter in self._wanted(running=True)}

    def _wanted(self, running: bool | None = None) -> Iterator[Adapter]:
        for request in self._requests:
            if request.adapter is not None and running in (None, request.row != NO_ROW):
                yield request.adapter


def unknown_adapter(message: AddRequest, served: list[Adapter]) -> RequestRefused:
    """Loaded ones change, so what the server let pass may be gone when it arrives."""
    names = ", ".join(sorted(adapter.name for adapter in served)) or "none"
    text = f"The adapter {message.adapter!r} is not loaded; loaded are: {names}."
    return RequestRefused(message.request_id, 404, text, "model")
