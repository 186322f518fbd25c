"""The sockets that HTTP servers listen on: bound early, so that a fault costs no loading time."""

import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from paddock.engine.config import FrontendConfig

LONGEST_SOCKET_PATH = 107
"""Bytes that a Unix socket's address holds, sockaddr_un in unix(7)."""

SOCKET_UMASK = 0o117
"""Owner and group may connect to a Unix socket, others not."""

KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""A peer that vanished without a word is noticed within two minutes; its request then ends."""


class PortError(Exception):
    """The address cannot be bound; the text says what to do."""


class Listeners:
    """One bound socket for each API server. None listens yet: callers are refused until the model is loaded."""

    def __init__(self, sockets: Sequence[socket.socket], path: Path | None = None) -> None:
        self.sockets = tuple(sockets)
        self._path = path
        self._file = None if path is None else _identity(path)

    @classmethod
    def open(cls, frontend: FrontendConfig, count: int = 1) -> "Listeners":
        """Raises PortError."""
        if frontend.uds is not None:
            path = Path(frontend.uds)
            return cls([bind_unix(path)] * count, path)
        first = bind(frontend.host, frontend.port, shared=count > 1)
        port = first.getsockname()[1]
        return cls([first, *(bind(frontend.host, port, shared=True, joins=True) for _ in range(1, count))])

    def close(self) -> None:
        """Also removes the Unix socket's file, unless another server has put its own there."""
        for listener in self.sockets:
            listener.close()
        if self._path is not None and _identity(self._path) == self._file:
            self._path.unlink(missing_ok=True)


def bind(host: str | None, port: int, shared: bool = False, joins: bool = False) -> socket.socket:
    """A TCP socket; without a host on every interface, IPv6 and IPv4.

    `shared` lets sockets of this user share the port, and the kernel spreads connections over them. Unless it
    `joins` one, the port must be free all the same. Raises PortError.
    """
    try:
        if shared and not joins:
            # Sharing would also let us into the port of an unrelated server: see that there is none.
            with _bind(host, port, shared=False) as probe:
                port = probe.getsockname()[1]
        listener = _bind(host, port, shared)
    except OSError as error:
        where = host or "every interface"
        reason = error.strerror or str(error)
        raise PortError(
            f"port {port} cannot be bound on {where}: {reason}. Stop what uses it "
            f"(ss -ltnp 'sport = :{port}' shows it) or choose another with --port."
        ) from error
    return listener


def bind_unix(path: Path) -> socket.socket:
    """A Unix socket at this path; the file of a server that is gone is replaced. Raises PortError."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise PortError(f"--uds {path} is longer than the {LONGEST_SOCKET_PATH} bytes of a socket's address.")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(SOCKET_UMASK)
    try:
        _remove_stale(path)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise PortError(f"--uds {path} cannot be bound: {error.strerror or error}.") from error
    except PortError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise PortError(f"--uds {path} is a file that is no socket; remove it or choose another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise PortError(f"--uds {path} is in use by another server; stop it or choose another path.")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bind(host: str | None, port: int, shared: bool) -> socket.socket:
    if host is None and socket.has_dualstack_ipv6():
        listener = _reusable(socket.AF_INET6, shared)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return _bind_or_close(listener, ("::", port))
    family, _, _, _, address = socket.getaddrinfo(
        host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return _bind_or_close(_reusable(family, shared), address)


def _reusable(family: int, shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    # A restart must not wait for old connections to time out; a live listener still makes bind fail.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        listener.setsockopt(socket.IPPROTO_TCP, option, value)
    return listener


def _bind_or_close(listener: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
