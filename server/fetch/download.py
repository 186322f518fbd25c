"""A folder that grows while a model is downloaded into it, and how far it is."""

import os
import shutil
from pathlib import Path

from paddock.server.fetch.errors import FetchError


class Download:
    """`folder` outlives the process, so that what is in it is not downloaded again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected = 0
        """Bytes, once `expect` was told."""

        self.step = "downloading"

    def expect(self, size: int, address: str) -> None:
        """Raises FetchError when the disk has no room for `size` bytes in all."""
        missing = size - self.done()
        free = shutil.disk_usage(self.folder).free
        if missing > free:
            raise FetchError(
                f"{address} needs {readable(missing)} more and the cache has {readable(free)} free: enlarge it, or remove "
                "models that nobody serves"
            )
        self.expected = size

    def done(self) -> int:
        """Bytes on disk: counted there, since they may come from an earlier attempt or another process."""
        total = 0
        for folder, _, files in os.walk(self.folder):
            for name in files:
                try:
                    total += os.stat(os.path.join(folder, name)).st_size
                except FileNotFoundError:  # renamed meanwhile
                    continue
        return total

    def __str__(self) -> str:
        """One line for people, as `downloading: 1.2 GB of 3.4 GB (35 %)`."""
        if self.step != "downloading" or not self.expected:
            return self.step
        done = min(self.done(), self.expected)
        share = 100 * done // self.expected
        return f"{self.step}: {readable(done)} of {readable(self.expected)} ({share} %)"


def readable(size: int) -> str:
    """Bytes in the unit that suits."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} B"
