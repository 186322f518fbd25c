"""Lists of the children besides the watches: before the first pass, and whenever a watch may have missed a deletion.

kopf lists anew after a gap and shows what is there, but not what has gone meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import aiohttp

from paddock.operator.children import CHILDREN, Children, News
from paddock.operator.client import Api, ApiError
from paddock.operator.kopf_loop import selector
from paddock.operator.workqueue import Key

logger = logging.getLogger(__name__)

GATHER_SECONDS = 1.0
REGULAR_SECONDS = 300.0
RETRY_SECONDS = 5.0


class Relisting:
    """Which kinds must be listed, and the lists themselves. `namespaces`: all when empty."""

    def __init__(self, api: Api, children: Children, namespaces: tuple[str, ...] = ()) -> None:
        self._api = api
        self._children = children
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._wanted: set[str] = set()
        self._asked = asyncio.Event()

    def want(self, kind: str) -> None:
        """The watch of this kind has begun anew."""
        self._wanted.add(kind)
        self._asked.set()

    async def fill(self) -> None:
        """Lists every kind, again and again until it succeeds: without it nothing is known to be missing."""
        self._wanted |= set(CHILDREN)
        while self._wanted:
            if not await self._list_wanted(lambda _: None):
                await asyncio.sleep(RETRY_SECONDS)

    async def keep(self, concerned: Callable[[Key], None]) -> None:
        """For ever: soon after each wish, and regularly. Tells of every key whose children are not as they were known."""
        while True:
            try:
                async with asyncio.timeout(REGULAR_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                self._wanted |= set(CHILDREN)
            # The news of a new watch come one by one.
            await asyncio.sleep(GATHER_SECONDS)
            self._asked.clear()
            if not await self._list_wanted(concerned):
                await asyncio.sleep(RETRY_SECONDS)
                self._asked.set()

    async def _list_wanted(self, concerned: Callable[[Key], None]) -> bool:
        """Whether all went well; what did not stays wanted."""
        for kind in sorted(self._wanted):
            try:
                for namespace in self._namespaces:
                    for key in await self._list(kind, namespace):
                        concerned(key)
            except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.warning("no list of %s: %s", kind, str(error) or type(error).__name__)
                return False
            self._wanted.discard(kind)
        return True

    async def _list(self, kind: str, namespace: str | None) -> set[Key]:
        news: list[News] = []
        version = 0
        async for items, listed_at in self._api.pages(kind, namespace, selector(kind)):
            news += [News.of(kind, item) for item in items]
            version = version or int(listed_at)
        return self._children.listed(kind, namespace, news, version)
