"""In which order requests are served, as a rank. Preemption takes them from the other end."""

from collections.abc import Callable
from typing import Literal

from paddock.engine.messages import AddRequest
from paddock.engine.scheduler.request import Rank

Policy = Callable[[AddRequest, int], Rank]
"""From a request and its number of arrival at the core, which makes the rank unique."""

PolicyName = Literal["fcfs", "priority"]


def first_come_first_served(request: AddRequest, number: int) -> Rank:
    return (request.arrival_time, number)


def priority_first(request: AddRequest, number: int) -> Rank:
    """Smaller priority numbers first, equal ones by arrival."""
    return (request.priority, request.arrival_time, number)


POLICIES: dict[PolicyName, Policy] = {"fcfs": first_come_first_served, "priority": priority_first}
