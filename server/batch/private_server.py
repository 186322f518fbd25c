"""A server of our own behind a Unix socket that nobody else may open: every endpoint, just as `paddock serve` has it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

import aiohttp

from paddock.engine.private_folder import private_folder
from paddock.server.batch.errors import BatchError

POLL_SECONDS = 0.2
STOP_SECONDS = 30.0
READ_SECONDS = 3600.0
"""A request may wait behind many others."""

BASE_URL = "http://batch"
"""The host is of no importance behind a Unix socket."""


class PrivateServer:
    """Ends with this process, whatever ends it."""

    def __init__(self, words: Sequence[str]) -> None:
        """Start loading; `words` are what would follow `paddock serve`. Raises BatchError."""
        try:
            self._folder = private_folder()
        except OSError as error:
            raise BatchError(str(error)) from None
        self._socket = self._folder / "http"
        command = [sys.executable, "-m", "paddock.server.batch.child", str(os.getpid()), *words]
        command += ["--uds", str(self._socket), "--disable-uvicorn-access-log"]
        # A key would guard it from us, and the socket's folder is guarded already.
        environ = {name: value for name, value in os.environ.items() if name != "PADDOCK_API_KEY"}
        # Its own session: Ctrl-C is for this process, which stops the server in its turn.
        self._process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def session(self) -> aiohttp.ClientSession:
        """As many connections as requests ask for."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=READ_SECONDS)
        connector = aiohttp.UnixConnector(str(self._socket), limit=0)
        return aiohttp.ClientSession(BASE_URL, connector=connector, timeout=timeout)

    @property
    def status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    async def until_ready(self, session: aiohttp.ClientSession) -> None:
        """Raises BatchError when it ends instead; its log has said why."""
        while not await self.is_healthy(session):
            if self.status is not None:
                raise BatchError(f"the engine could not start (status {self.status}); its log above says why")
            await asyncio.sleep(POLL_SECONDS)

    async def is_healthy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get("/health") as reply:
                return reply.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    def stop(self) -> None:
        """Two signals end it without waiting for running requests."""
        for _ in range(2):
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
