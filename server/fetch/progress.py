"""Tells how far a download is: a line in the log now and then, and by HTTP to the operator, who asks for ModelReady."""

import contextlib
import logging
import threading
from types import TracebackType
from typing import Self

from paddock.server.fetch.download import Download
from paddock.server.fetch.teller import Teller

logger = logging.getLogger(__name__)

LINE_SECONDS = 5.0


class Progress:
    """Use as a context manager. `port`: where to answer, None for nowhere."""

    def __init__(self, port: int | None) -> None:
        self._download: Download | None = None
        self._ended = threading.Event()
        self._teller = contextlib.nullcontext() if port is None else Teller(port, self.__str__)

    def follow(self, download: Download) -> None:
        self._download = download

    def __str__(self) -> str:
        return "waiting for another pod's download" if self._download is None else str(self._download)

    def __enter__(self) -> Self:
        threading.Thread(target=self._write_lines, daemon=True).start()
        self._teller.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._teller.__exit__(kind, error, trace)

    def _write_lines(self) -> None:
        last = ""
        while not self._ended.wait(LINE_SECONDS):
            if (line := str(self)) != last:
                last = line
                logger.info("%s", line)
