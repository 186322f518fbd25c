"""What a worker does with the ways in which a pass can fail."""

import asyncio
from typing import Any, cast

import pytest

from paddock.operator.client import ApiError, NotLeading
from paddock.operator.metrics import Metrics, Vitals
from paddock.operator.reconcile import Outcome
from paddock.operator.workers import work
from paddock.operator.workqueue import Key, WorkQueue

KEY = ("models", "a")


class FailsOnce:
    """A reconciler whose first pass over a key fails."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.succeeded = asyncio.Event()

    async def reconcile(self, _: Key) -> Outcome:
        error, self.error = self.error, None
        if error is not None:
            raise error
        self.succeeded.set()
        return Outcome(None)


@pytest.mark.parametrize(
    "error",
    [
        NotLeading("the Lease was renewed late"),
        ApiError(409, "Conflict", "somebody was quicker"),
        ConnectionResetError(),
        ValueError("a mistake of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_key_whose_pass_failed_is_worked_on_again(error: Exception) -> None:
    async def scene() -> None:
        queue, reconciler = WorkQueue(), FailsOnce(error)
        queue.schedule._jitter = lambda: 0.0
        worker = asyncio.create_task(work(queue, cast(Any, reconciler), Metrics(Vitals())))
        queue.add(KEY)
        await asyncio.wait_for(reconciler.succeeded.wait(), 30)
        worker.cancel()

    asyncio.run(scene())
