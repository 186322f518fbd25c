"""The sockets of the API servers: Unix socket files, and ports shared by several."""

import socket
import stat
from pathlib import Path

import pytest

from paddock.engine.config import FrontendConfig
from paddock.server.listener import Listeners, PortError, bind


def unix(path: Path, count: int = 1) -> Listeners:
    return Listeners.open(FrontendConfig(uds=str(path)), count)


def test_a_unix_socket_is_open_to_owner_and_group_and_its_file_goes_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "paddock.sock"
    listeners = unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    listeners.close()
    assert not path.exists()


def test_the_file_of_a_server_that_is_gone_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "paddock.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    unix(path).close()


def test_the_socket_of_a_server_that_lives_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "paddock.sock"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(PortError, match="in use by another server"):
            unix(path)
    assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("precious")
    with pytest.raises(PortError, match="no socket"):
        unix(path)
    assert path.read_text() == "precious"


def test_a_successors_file_is_left_in_place(tmp_path: Path) -> None:
    path = tmp_path / "paddock.sock"
    listeners = unix(path)
    path.unlink()
    successor = unix(path)
    listeners.close()
    assert path.exists()
    successor.close()


@pytest.mark.parametrize("name", ["missing/paddock.sock", "x" * 120])
def test_a_path_that_cannot_be_bound_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(PortError, match=f"--uds .*{name}"):
        unix(tmp_path / name)


@pytest.mark.parametrize("host", ["127.0.0.1", None])
def test_several_sockets_share_a_port(host: str | None) -> None:
    listeners = Listeners.open(FrontendConfig(host=host, port=0), 3)
    ports = {listener.getsockname()[1] for listener in listeners.sockets}
    for listener in listeners.sockets:
        listener.listen()
    assert len(ports) == 1
    listeners.close()


def test_sharing_among_ourselves_does_not_let_us_into_another_servers_port() -> None:
    with bind("127.0.0.1", 0, shared=True) as other:
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortError, match=f"port {port} "):
            Listeners.open(FrontendConfig(host="127.0.0.1", port=port), 2)
