"""An HTTPS server of files in memory, which answers ranges and can break off."""

import ssl
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from certificates import Pair
from loopback_http import LoopbackHttp


@dataclass
class Served:
    """`cut`: the first answer ends after so many bytes. `status`: answered instead of the content. `sends_to`: redirects."""

    content: bytes = b""
    cut: int | None = None
    status: int | None = None
    sends_to: str | None = None
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request."""


class ArchiveServer(LoopbackHttp):
    """`files` by path."""

    def __init__(self, pair: Pair, **files: Served) -> None:
        self.files = {f"/{name.replace('__', '.')}": served for name, served in files.items()}
        served_files = self.files

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Requests are in `Served.ranges`."""

            def do_GET(self) -> None:
                _answer(self, served_files[self.path])

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        super().__init__(Handler, context)


def _answer(request: BaseHTTPRequestHandler, served: Served) -> None:
    asked = request.headers.get("Range")
    served.ranges.append(asked)
    if served.status is not None or served.sends_to is not None:
        request.send_response(served.status or 302)
        if served.sends_to is not None:
            request.send_header("Location", served.sends_to)
        request.send_header("Content-Length", "0")
        return request.end_headers()
    first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
    body = served.content[int(first) : int(last) + 1 if last else None]
    request.send_response(206 if asked else 200)
    if asked:
        end = int(first) + len(body) - 1
        request.send_header("Content-Range", f"bytes {first}-{end}/{len(served.content)}")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if served.cut is not None:
        body, served.cut = body[: served.cut], None
        request.close_connection = True
    request.wfile.write(body)
    return None
