"""Adapters that a file lists: what it names is served, what it names no longer is not, without a request of anybody."""

import asyncio
import logging
from pathlib import Path

from paddock.engine.messages import LoadAdapter, UnloadAdapter
from paddock.server.adapter_files import LOADED_FILE, LoadedAdapter, ServedAdapter, read_list, write_list
from paddock.server.adapters import Adapters
from paddock.server.errors import ApiError

logger = logging.getLogger("paddock.server")

LOOK_SECONDS = 1.0
RETRY_SECONDS = 10.0


class FollowedAdapters:
    """`file` lists `ServedAdapter`s; what became of each is written beside it."""

    def __init__(self, file: Path, adapters: Adapters) -> None:
        self._file = file
        self._adapters = adapters
        self._seen: list[ServedAdapter] | None = None
        self._own: set[str] = set()
        """Names that are ours to unload: those of `--lora-modules` and of requests are not."""

    async def keep(self) -> None:
        """For ever. A list that cannot be read, or an adapter that cannot be loaded, is tried again later."""
        loop = asyncio.get_running_loop()
        retry = loop.time() + RETRY_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self.catch_up(again=loop.time() >= retry):
                retry = loop.time() + RETRY_SECONDS

    async def catch_up(self, *, again: bool = True) -> bool:
        """Load and unload until the list holds. An unchanged one is gone through only `again`. Whether it was."""
        try:
            listed = read_list(self._file, ServedAdapter)
        except FileNotFoundError:
            return True
        except (OSError, ValueError) as error:
            logger.error("%s cannot be read: %s", self._file, error)
            return True
        if listed == self._seen and not again:
            return False
        told = [await self._load(adapter) for adapter in listed]
        for name in self._own - {adapter.name for adapter in listed}:
            await self._unload(name)
        self._tell(told)
        self._seen = listed
        return True

    async def _load(self, wanted: ServedAdapter) -> LoadedAdapter:
        known = self._adapters.find(wanted.name)
        if known is not None and wanted.name not in self._own and known.path != wanted.path:
            problem = f"{wanted.name}: another adapter of this name is served already, from {known.path}"
            return LoadedAdapter(wanted.name, wanted.path, problem)
        if known is None or known.path != wanted.path:
            order = LoadAdapter(wanted.name, wanted.path, None, known is not None)
            try:
                await self._adapters.load(order)
            except ApiError as error:
                other = self._adapters.find(wanted.name)
                # Another API server of this engine may have been quicker.
                if other is None or other.path != wanted.path:
                    logger.error("%s", error.message)
                    return LoadedAdapter(wanted.name, wanted.path, error.message)
            logger.info("adapter %s is served from %s", wanted.name, wanted.path)
        self._own.add(wanted.name)
        return LoadedAdapter(wanted.name, wanted.path)

    async def _unload(self, name: str) -> None:
        try:
            await self._adapters.unload(UnloadAdapter(name))
            logger.info("adapter %s is no longer served", name)
        except ApiError as error:
            logger.warning("%s", error.message)
        self._own.discard(name)

    def _tell(self, told: list[LoadedAdapter]) -> None:
        try:
            write_list(self._file.with_name(LOADED_FILE), told)
        except OSError as error:
            logger.error("what became of the adapters cannot be told: %s", error)
