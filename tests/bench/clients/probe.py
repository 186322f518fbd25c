"""Times the first byte of /health while others load the machine, beside that of a server that does nothing else.

The second one is the floor: what a new connection, a wake-up of the prober and one of any server cost on cores as busy
as these. It runs as `probe.py PORT`, a process of its own.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_SECONDS = 0.02
QUESTION = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Probe(threading.Thread):
    """Asks the ports in turn, on a new connection each time, until it is stopped."""

    def __init__(self, *ports: int) -> None:
        super().__init__()
        self._over = threading.Event()
        self.seconds: dict[int, list[float]] = {port: [] for port in ports}

    def run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            for port, seconds in self.seconds.items():
                seconds.append(_first_byte_seconds(port))

    def stop(self) -> dict[int, list[float]]:
        self._over.set()
        self.join()
        return self.seconds


def _first_byte_seconds(port: int) -> float:
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(QUESTION)
        answer = connection.recv(4096)
        seconds = time.perf_counter() - began
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return seconds


@contextmanager
def idle_server(port: int) -> Iterator[None]:
    """The floor's server, until the context ends."""
    process = subprocess.Popen([sys.executable, __file__, str(port)], start_new_session=True)
    try:
        _wait_for(port)
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            _first_byte_seconds(port)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the floor's server did not start"
            time.sleep(0.02)
        else:
            return


def answer_for_ever(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                if connection.recv(4096):
                    connection.sendall(ANSWER)


if __name__ == "__main__":
    answer_for_ever(int(sys.argv[1]))
