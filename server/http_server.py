"""The listening socket, and uvicorn on it, without uvicorn's own idea of signals."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

LogLevel = Literal["critical", "debug", "error", "info", "trace", "warning"]
KEEP_ALIVE_SECONDS = 65
"""Longer than clients and proxies keep idle connections, so that they close first and no request meets a closed one."""
CLOSE_SECONDS = 10
"""How long the last bytes of finished answers may take to reach slow readers."""


class PortError(Exception):
    """The address cannot be bound; the text says what to do."""


def bind(host: str | None, port: int) -> socket.socket:
    """A bound socket that does not listen yet: the port is ours, and callers are refused until the model is loaded.

    Without a host every interface is bound, IPv6 and IPv4. Raises PortError.
    """
    try:
        listener = _bound_everywhere(port) if host is None else _bound(host, port)
    except OSError as error:
        where = host or "every interface"
        reason = error.strerror or str(error)
        raise PortError(
            f"port {port} cannot be bound on {where}: {reason}. Stop what uses it "
            f"(ss -ltnp 'sport = :{port}' shows it) or choose another with --port."
        ) from error
    listener.set_inheritable(False)
    return listener


def _bound_everywhere(port: int) -> socket.socket:
    if not socket.has_dualstack_ipv6():
        return _bound("0.0.0.0", port)
    listener = _reusable(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return _bind_or_close(listener, ("::", port))


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return _bind_or_close(_reusable(family), address)


def _reusable(family: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    # A restart must not wait for old connections to time out; a live listener still makes bind fail.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


def _bind_or_close(listener: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


class HttpServer(uvicorn.Server):
    """Serves one application on a bound socket. Signals belong to the process, which drains before it stops this."""

    def __init__(self, app: ASGIApp, log_level: LogLevel) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=log_level,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=CLOSE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
