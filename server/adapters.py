"""The adapters of the engines that one server speaks to. A name counts once every engine serves it."""

import asyncio
from collections.abc import Iterable

from paddock.engine.lora.adapter import Adapter
from paddock.engine.messages import AdapterAnswer, LoadAdapter, UnloadAdapter
from paddock.server.engine_link import EngineLink
from paddock.server.errors import ApiError


class Adapters:
    """The engines keep the books, so that all servers of an engine see the same."""

    def __init__(self, links: Iterable[EngineLink]) -> None:
        self._first, *self._others = links
        self._one_at_a_time = asyncio.Lock()

    def find(self, name: str) -> Adapter | None:
        if all(name in link.adapters for link in self._others):
            return self._first.adapters.get(name)
        return None

    @property
    def served(self) -> list[Adapter]:
        return [adapter for name in self._first.adapters if (adapter := self.find(name)) is not None]

    async def load(self, order: LoadAdapter) -> None:
        """Raises ApiError when an engine cannot; the others then have what they had."""
        async with self._one_at_a_time:
            before = {link: link.adapters.get(order.name) for link in self._links}
            answers = await self._ask(self._links, order)
            fault = next((answer for answer in answers if answer.status != 200), None)
            if fault is None:
                return
            for link, answer in zip(self._links, answers, strict=True):
                if answer.status == 200:
                    await link.change(_back_to(before[link], order.name))
            raise _error(fault)

    async def unload(self, order: UnloadAdapter) -> None:
        """Raises ApiError when no engine has it."""
        async with self._one_at_a_time:
            answers = await self._ask(self._links, order)
            if all(answer.status != 200 for answer in answers):
                raise _error(answers[0])

    @property
    def _links(self) -> list[EngineLink]:
        return [self._first, *self._others]

    async def _ask(
        self, links: Iterable[EngineLink], order: LoadAdapter | UnloadAdapter
    ) -> list[AdapterAnswer]:
        return await asyncio.gather(*(link.change(order) for link in links))


def _back_to(before: Adapter | None, name: str) -> LoadAdapter | UnloadAdapter:
    if before is None:
        return UnloadAdapter(name)
    return LoadAdapter(name, before.path, before.base_model_name, in_place=True)


def _error(answer: AdapterAnswer) -> ApiError:
    return ApiError(answer.status, answer.message, "lora_name")
