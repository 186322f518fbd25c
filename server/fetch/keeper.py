"""Keeps a pod's adapters as they are wanted: fetches what is new, and lists for the server what lies ready."""

import json
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from paddock.server.adapter_files import (
    LOADED_FILE,
    SERVED_FILE,
    LoadedAdapter,
    ServedAdapter,
    WantedAdapter,
    read_list,
    write_list,
)
from paddock.server.fetch.adapter_source import ADAPTER_MARKS, adapter_source
from paddock.server.fetch.download import Download
from paddock.server.fetch.entry import Entry
from paddock.server.fetch.errors import FetchError

logger = logging.getLogger(__name__)

AT_ONCE = 4
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0


@dataclass
class _Attempts:
    """At one adapter. Written by the thread that fetches and read by the others."""

    running: bool = False
    failures: int = 0
    problem: str = ""
    again: float = 0.0
    """On the monotonic clock."""

    download: Download | None = None

    def follow(self, download: Download) -> None:
        self.download = download

    def failed(self, problem: str) -> None:
        self.problem = problem
        pause = min(FIRST_PAUSE_SECONDS * 2**self.failures, LONGEST_PAUSE_SECONDS)
        self.failures, self.again = self.failures + 1, time.monotonic() + pause


class Keeper:
    """`wanted`: the operator's list. `cache`: where adapters lie. `lists`: folder of what is told to and by the server."""

    def __init__(self, wanted: Path, cache: Path, lists: Path) -> None:
        self._wanted_file = wanted
        self._cache = cache
        self._served_file, self._loaded_file = lists / SERVED_FILE, lists / LOADED_FILE
        self._wanted: list[WantedAdapter] = []
        self._ready: set[str] = set()
        self._attempts: dict[str, _Attempts] = {}
        self._served: list[ServedAdapter] | None = None

    def step(self) -> None:
        """One look at what is wanted. Never waits for a download."""
        try:
            self._wanted = read_list(self._wanted_file, WantedAdapter)
        except (OSError, ValueError) as error:
            logger.error("%s cannot be read, so what was wanted before stands: %s", self._wanted_file, error)
            return
        for adapter in self._wanted:
            self._see_to(adapter)
        entries = {adapter.entry for adapter in self._wanted}
        for entry in [key for key, each in self._attempts.items() if key not in entries and not each.running]:
            del self._attempts[entry]
        self._list()

    def report(self) -> str:
        """State of each wanted adapter as JSON: Fetching, Fetched, Loaded or Failed, with a text for people."""
        try:
            loaded = {(each.name, each.path): each for each in read_list(self._loaded_file, LoadedAdapter)}
        except (OSError, ValueError):
            loaded = {}
        rows = [(each, *self._state(each, loaded)) for each in self._wanted]
        return json.dumps(
            [
                {"name": adapter.name, "entry": adapter.entry, "state": state, "message": message}
                for adapter, state, message in rows
            ]
        )

    def _see_to(self, adapter: WantedAdapter) -> None:
        attempts = self._attempts.setdefault(adapter.entry, _Attempts())
        if adapter.entry in self._ready or attempts.running:
            return
        entry = Entry(self._cache / adapter.entry, attempts.follow, ADAPTER_MARKS)
        if entry.is_complete():
            self._ready.add(adapter.entry)
            return
        running = sum(each.running for each in self._attempts.values())
        if running < AT_ONCE and time.monotonic() >= attempts.again:
            attempts.running = True
            threading.Thread(target=self._fetch, args=(adapter, entry, attempts), daemon=True).start()

    def _fetch(self, adapter: WantedAdapter, entry: Entry, attempts: _Attempts) -> None:
        try:
            entry.fill(adapter_source(adapter.uri, adapter.sha256))
            attempts.problem = ""
        except FetchError as error:
            logger.error("adapter %s: %s", adapter.name, error)
            attempts.failed(str(error))
        except Exception as error:
            # One bad adapter must not end the keeper of the others.
            logger.exception("adapter %s", adapter.name)
            attempts.failed(f"{adapter.uri}: {error!r}")
        finally:
            attempts.running = False

    def _list(self) -> None:
        """Not before each was tried once: the server starts with what is there then."""
        ready = [each for each in self._wanted if each.entry in self._ready]
        served = [ServedAdapter(each.name, str(self._cache / each.entry / "model")) for each in ready]
        settled = all(
            each.entry in self._ready or self._attempts[each.entry].failures for each in self._wanted
        )
        if served != self._served and (settled or self._served_file.exists()):
            write_list(self._served_file, served)
            self._served = served

    def _state(self, adapter: WantedAdapter, loaded: dict[tuple[str, str], LoadedAdapter]) -> tuple[str, str]:
        if adapter.entry not in self._ready:
            attempts = self._attempts.get(adapter.entry, _Attempts())
            waiting = str(attempts.download) if attempts.download else "waits for its download"
            return ("Failed", attempts.problem) if attempts.problem else ("Fetching", waiting)
        told = loaded.get((adapter.name, str(self._cache / adapter.entry / "model")))
        if told is None:
            return "Fetched", "the server has not loaded it yet"
        return ("Failed", told.problem) if told.problem else ("Loaded", "")
