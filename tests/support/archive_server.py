"""An HTTPS server of files in memory, which answers ranges and can break off."""

import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from certificates import Pair


@dataclass
class Served:
    """`cut`: the first answer ends after so many bytes. `status`: answered instead of the content. `sends_to`: redirects."""

    content: bytes = b""
    cut: int | None = None
    status: int | None = None
    sends_to: str | None = None
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request."""


class ArchiveServer:
    """Use as a context manager. `files` by path."""

    def __init__(self, pair: Pair, **files: Served) -> None:
        self.files = {f"/{name.replace('__', '.')}": served for name, served in files.items()}
        served_files = self.files

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Requests are in `Served.ranges`."""

            def do_GET(self) -> None:
                _answer(self, served_files[self.path])

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


def _answer(request: BaseHTTPRequestHandler, served: Served) -> None:
    asked = request.headers.get("Range")
    served.ranges.append(asked)
    if served.status is not None or served.sends_to is not None:
        request.send_response(served.status or 302)
        if served.sends_to is not None:
            request.send_header("Location", served.sends_to)
        request.send_header("Content-Length", "0")
        return request.end_headers()
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    body = served.content[start:]
    request.send_response(206 if asked else 200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if served.cut is not None:
        body, served.cut = body[: served.cut], None
        request.close_connection = True
    request.wfile.write(body)
    return None
