"""The routes of a server that are asked once, beside the load: models, tokens, health, profiling."""

import contextlib
import http.client
import json
import ssl
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from paddock.server.bench.errors import BenchError

ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.5


class Pages:
    """One connection that is kept. Raises BenchError when the server cannot be reached."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        self.base_url = base_url
        self._headers = {"content-type": "application/json", **headers}
        parts = urlsplit(base_url)
        self._path = parts.path.rstrip("/")
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            secure = ssl.create_default_context()
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=ANSWER_SECONDS, context=secure
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        return self._ask("POST", path, json.dumps(body).encode())

    def wait_until_healthy(self, seconds: float) -> None:
        """Until /health answers 200; 0 does not wait."""
        deadline = time.monotonic() + seconds
        seen, was_told = "", False
        while seconds > 0:
            if seen:
                time.sleep(POLL_SECONDS)
            try:
                status, _ = self.get("/health")
                if status == 200:
                    return
                seen = f"/health answered {status}"
            except BenchError as error:
                seen = str(error)
            if time.monotonic() >= deadline:
                raise BenchError(f"{seen}; waited {seconds:g} s (--ready-check-timeout-sec)")
            if not was_told:
                print(f"waiting for the server: {seen}", file=sys.stderr)
                was_told = True

    def first_model(self) -> str:
        """The name of the first model that the server lists."""
        status, answer = self.get("/v1/models")
        with contextlib.suppress(KeyError, IndexError, TypeError):
            if status == 200:
                return str(answer["data"][0]["id"])
        raise BenchError(
            f"{self.base_url}/v1/models answered {status}: {answer}. Name the model with --model"
        )

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        """The status, and the answer: parsed where it is JSON."""
        for is_last in (False, True):
            try:
                self._connection.request(method, self._path + path, body, self._headers)
                reply = self._connection.getresponse()
                return reply.status, _content(reply.read())
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # A connection that was kept may have been closed by the server meanwhile.
                if is_last or isinstance(error, ConnectionRefusedError):
                    raise BenchError(f"{self.base_url} cannot be reached: {error}") from None
        raise AssertionError("unreachable")


def _content(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:200]
