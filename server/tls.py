"""HTTPS: the listener's certificates, and their replacement while it listens."""

import asyncio
import logging
import os
import ssl
from pathlib import Path

from paddock.engine.config import FrontendConfig

logger = logging.getLogger("paddock.server.tls")
POLL_SECONDS = 1.0
"""Between looks at the files. Looking works on every file system, also where Kubernetes swaps a link to a folder."""

Version = tuple[tuple[int, int, int] | None, ...]


class TlsError(Exception):
    """The certificate, key or CA file cannot be used; the text names the flag and the file."""


class Tls:
    """`context` is what the socket listens with. Each new connection gets the certificates read last."""

    def __init__(self, frontend: FrontendConfig) -> None:
        """Raises TlsError."""
        self._frontend = frontend
        self._files = [
            Path(name)
            for name in (frontend.ssl_certfile, frontend.ssl_keyfile, frontend.ssl_ca_certs)
            if name is not None
        ]
        self._version = self._look()
        self._current = self.context = new_context(frontend)
        # A context forgets no CA, and a failed load may leave half a pair; so a new one takes its place.
        self.context.sni_callback = self._hand_over

    async def refresh(self) -> None:
        """--enable-ssl-refresh: read changed files until cancelled. While they cannot be used, the old ones hold."""
        refused: Version | None = None
        while True:
            await asyncio.sleep(POLL_SECONDS)
            version = self._look()
            if version == self._version:
                continue
            try:
                self._current = await asyncio.to_thread(new_context, self._frontend)
            except TlsError as error:
                # Perhaps only one file of a pair is written yet.
                if version != refused:
                    logger.warning("the changed certificate is not used yet: %s", error)
                refused = version
            else:
                self._version = version
                logger.info("new connections get the certificate in %s", self._frontend.ssl_certfile)

    def _hand_over(self, connection: ssl.SSLObject, name: str | None, listening: ssl.SSLContext) -> None:
        connection.context = self._current

    def _look(self) -> Version:
        return tuple(_version(path) for path in self._files)


def new_context(frontend: FrontendConfig) -> ssl.SSLContext:
    """TLS 1.2 or newer, with the files as they are now. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert frontend.ssl_certfile is not None
    _load_pair(context, frontend.ssl_certfile, frontend.ssl_keyfile)
    context.verify_mode = ssl.VerifyMode(frontend.ssl_cert_reqs)
    if frontend.ssl_ca_certs is not None:
        # A resumed session shows no certificate again, so a dropped authority would live on in it.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        try:
            context.load_verify_locations(frontend.ssl_ca_certs)
        except OSError as error:
            raise TlsError(f"--ssl-ca-certs {frontend.ssl_ca_certs} {_why(error)}.") from error
    return context


def _load_pair(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    for flag, name in (("--ssl-certfile", certificate), ("--ssl-keyfile", key)):
        if name is not None and not os.access(name, os.R_OK):
            raise TlsError(f"{flag} {name} cannot be read: {_absence(name)}.")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, TlsError) as error:
        pair = f"--ssl-certfile {certificate}" + (f" with --ssl-keyfile {key}" if key else "")
        hint = "" if key else "; a key in a file of its own needs --ssl-keyfile"
        raise TlsError(f"{pair} {_why(error)}{hint}.") from error


def _no_password() -> str:
    raise TlsError("has an encrypted key: nobody is there to type a password; give the key without one")


def _why(error: Exception) -> str:
    if isinstance(error, TlsError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        fault = "the key belongs to another certificate" if mismatch else error.reason or "no PEM file"
        return f"cannot be used: {fault}"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _absence(name: str) -> str:
    return "permission denied" if os.path.exists(name) else "there is no such file"


def _version(path: Path) -> tuple[int, int, int] | None:
    """Follows links, so that a swapped one counts as a change."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
