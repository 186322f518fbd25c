"""One model in a cache.

ENTRY/model        the model, complete: it appears by one rename and is never written again
ENTRY/download-…   what a download has got so far, of one version; the next attempt goes on with it
ENTRY/source.json  where the model came from, for people
ENTRY/lock         held by the one process that fills the entry; others wait, also on other nodes
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from paddock.server.fetch.download import Download
from paddock.server.fetch.errors import FetchError, of_disk
from paddock.server.fetch.source import Source

logger = logging.getLogger(__name__)

MODEL = "model"
_VERSION_CHARACTERS = 16
CONFIGURATIONS = ("config.json", "params.json")
"""Of which a model has one."""


class Entry:
    """`folder` is made when it is not there. `follow` is told of the download while it lasts. `marks`: files of which what
    is downloaded has one at its top.
    """

    def __init__(
        self, folder: Path, follow: Callable[[Download], None], marks: tuple[str, ...] = CONFIGURATIONS
    ) -> None:
        self.folder = folder
        self.model = folder / MODEL
        self._follow = follow
        self._marks = marks

    def fill(self, source: Source) -> None:
        """Returns when the model is complete, downloaded by this process or another. Raises FetchError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.is_complete():
                logger.info("%s is in the cache: %s", source.address, self._origin())
                return
            with self._locked():
                if not self.is_complete():
                    self._download(source)
        except OSError as error:
            raise of_disk(error, self.folder) from None

    def is_complete(self) -> bool:
        """An empty folder is what the kubelet leaves where it mounts one that is not there."""
        return self.model.is_dir() and any(self.model.iterdir())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("waiting for another pod that downloads the same model into the cache")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _download(self, source: Source) -> None:
        version = source.resolve()
        name = "".join(filter(str.isalnum, version))[:_VERSION_CHARACTERS]
        folder = self.folder / f"download-{name}"
        for other in self.folder.glob("download-*"):
            if other != folder:
                shutil.rmtree(other)
        folder.mkdir(exist_ok=True)
        download = Download(folder)
        if left := download.done():
            logger.info("an earlier download left %d bytes: going on with them", left)
        self._follow(download)
        self._publish(source.fetch(download), source.address, version)
        shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, fetched: Path, address: str, version: str) -> None:
        if not any((fetched / name).is_file() for name in self._marks):
            raise FetchError(
                f"{address} holds no {self._marks[0]} at its top, so it is not what is looked for"
            )
        _to_disk(fetched)
        origin = {
            "address": address,
            "version": version,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (self.folder / "source.json").write_text(json.dumps(origin, indent=2) + "\n")
        os.rename(fetched, self.model)
        logger.info("%s is in the cache now: %s", address, version)

    def _origin(self) -> str:
        try:
            return str(json.loads((self.folder / "source.json").read_text())["version"])
        except (OSError, ValueError, KeyError):
            return "of unknown version"


def _to_disk(folder: Path) -> None:
    """A node that loses power keeps a rename and may lose what it names, unless that was written out before."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as opened:
                os.fsync(opened.fileno())
