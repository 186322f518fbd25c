"""How far a load is: a bar on a terminal, a line now and then in a log."""

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

logger = logging.getLogger(__name__)

LINE_SECONDS = 5.0
"""Between two log lines; a load shorter than this logs its end only."""


class LoadProgress:
    """Counts bytes up to `total`. Used as a context manager; `shown=False` counts in silence."""

    def __init__(self, title: str, total: int, shown: bool = True) -> None:
        self.title, self.total, self.shown, self.done = title, total, shown, 0
        self.lock = threading.Lock()
        on_terminal = shown and sys.stderr.isatty()
        self.bar = (
            tqdm(total=total, desc=title, unit="B", unit_scale=True, leave=True) if on_terminal else None
        )
        self.started = self.last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def advance(self, count: int) -> None:
        """Safe to call from several threads."""
        with self.lock:
            self.done += count
            if self.bar is not None:
                self.bar.update(count)
            elif time.monotonic() - self.last_line >= LINE_SECONDS:
                self.last_line = time.monotonic()
                self._line()

    def _line(self) -> None:
        elapsed = time.monotonic() - self.started
        rate = self.done / max(elapsed, 1e-9)
        left = (self.total - self.done) / max(rate, 1.0)
        if self.shown:
            logger.info(
                "%s: %.2f of %.2f GB, %.0f MB/s, %.0f s left",
                self.title, self.done / 1e9, self.total / 1e9, rate / 1e6, left,
            )  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif kind is None and self.shown:
            seconds = time.monotonic() - self.started
            logger.info("%s: %.2f GB in %.1f s", self.title, self.total / 1e9, seconds)
