"""Tells how far a download is: a line in the log now and then, and by HTTP to the operator, who asks for ModelReady."""

import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from paddock.server.fetch.download import Download

logger = logging.getLogger(__name__)

LINE_SECONDS = 5.0


class Progress:
    """Use as a context manager. `port`: where to answer, None for nowhere."""

    def __init__(self, port: int | None) -> None:
        self._download: Download | None = None
        self._ended = threading.Event()
        self._http = None if port is None else _Server(port, self)
        self._threads = [threading.Thread(target=self._write_lines, daemon=True)]
        if self._http is not None:
            self._threads.append(threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True))

    def follow(self, download: Download) -> None:
        self._download = download

    def __str__(self) -> str:
        return "waiting for another pod's download" if self._download is None else str(self._download)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def _write_lines(self) -> None:
        last = ""
        while not self._ended.wait(LINE_SECONDS):
            if (line := str(self)) != last:
                last = line
                logger.info("%s", line)


class _Server(ThreadingHTTPServer):
    """Answers every GET with the line, on IPv4 and where there is IPv6 on both."""

    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __init__(self, port: int, progress: Progress) -> None:
        self.progress = progress
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        body = str(self.server.progress).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Who asks for progress is of no interest in a log."""
