"""Where the members of a group meet: files of this user on one node, addresses of the leader between nodes."""

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import zmq

from paddock.engine.distributed.sockets import Context, Socket, resolve, router, tcp
from paddock.engine.private_folder import private_folder
from paddock.engine.settings import SettingsError

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
RESOLVE_SECONDS = 120.0
"""A pod's own name may be published a while after the pod has started."""


@dataclass
class MeetingPlace:
    """The leader's two sockets, bound."""

    control: Socket
    work: Socket
    host: str
    """The address that this node's ranks are reached at by the others."""
    folder: Path | None = None

    @property
    def control_address(self) -> str:
        return _endpoint(self.control)

    @property
    def work_address(self) -> str:
        return _endpoint(self.work)

    @staticmethod
    def on_this_node(context: Context) -> "MeetingPlace":
        """Raises `OSError` when there is no room for the sockets' files."""
        folder = private_folder()
        control, work = (router(context, f"ipc://{folder}/{name}", None) for name in ("control", "work"))
        return MeetingPlace(control, work, LOOPBACK, folder)

    @staticmethod
    def on_network(context: Context, master_addr: str, port: int, secret: str) -> "MeetingPlace":
        """Raises `SettingsError`."""
        control, host = meeting_socket(
            context, ("--master-addr", master_addr), ("--master-port", port), secret
        )
        return MeetingPlace(control, router(context, tcp(host, "*"), secret), host)

    def hide(self) -> None:
        """Once all are connected nothing looks for the files any more; so none is left behind by a crash."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def meeting_socket(
    context: Context, address: tuple[str, str], port: tuple[str, int], secret: str
) -> tuple[Socket, str]:
    """The leader's control socket and its IP address; `address` and `port` are flags with their values.

    Raises `SettingsError`.
    """
    (flag, name), (port_flag, number) = address, port
    host = _own_address(flag, name)
    try:
        return router(context, tcp(host, number), secret), host
    except zmq.ZMQError as error:
        raise SettingsError(
            f"{flag} {name} ({host}) {port_flag} {number} cannot be listened at ({error.strerror}): "
            "give an address of this node, and a port that is free here."
        ) from error


def _endpoint(bound: Socket) -> str:
    endpoint = bound.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.rstrip(b"\0").decode()


def _own_address(flag: str, name: str) -> str:
    deadline = time.monotonic() + RESOLVE_SECONDS
    while True:
        try:
            return resolve(name)
        except OSError as error:
            if time.monotonic() > deadline:
                raise SettingsError(f"{flag} {name} has no address: {error}.") from error
            logger.info("%s %s has no address yet (%s)", flag, name, error)
            time.sleep(1)
