"""Requests in the order of their rank."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import attrgetter

from paddock.engine.scheduler.request import Request

_rank = attrgetter("rank")


class RankedList:
    """A sorted list: adding and removing cost a binary search and a move of pointers, both ends are one look away."""

    def __init__(self) -> None:
        self._requests: list[Request] = []

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    def __getitem__(self, position: int) -> Request:
        return self._requests[position]

    def add(self, request: Request) -> None:
        insort(self._requests, request, key=_rank)

    def remove(self, request: Request) -> None:
        """Raises `ValueError` when the request is not in the list."""
        position = bisect_left(self._requests, request.rank, key=_rank)
        if position == len(self._requests) or self._requests[position] is not request:
            raise ValueError(f"request {request.request_id} is not in the list")
        del self._requests[position]
