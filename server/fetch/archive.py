"""Models as an archive behind https://, whose SHA-256 is known beforehand."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from paddock.server.fetch.download import Download
from paddock.server.fetch.errors import FetchError
from paddock.server.fetch.remote_archive import RemoteArchive
from paddock.server.fetch.unpacking import unpack

_ATTEMPTS = 5
_CHUNK_BYTES = 1 << 20
_SILENCE_SECONDS = 60.0
_WORTH_ANOTHER_TRY = (408, 425, 429, 500, 502, 503, 504)


class ArchiveSource:
    """A .tar, .tar.gz or .zip."""

    def __init__(self, address: str, sha256: str) -> None:
        self.address = address
        self._sha256 = sha256
        self._opener = urllib.request.build_opener(_HttpsOnly)
        self._remote = RemoteArchive(address, self._opener)

    def resolve(self) -> str:
        """The checksum."""
        return f"sha256:{self._sha256}"

    def sizes(self) -> dict[str, int]:
        return self._remote.sizes()

    def read(self, name: str, start: int, size: int) -> bytes:
        return self._remote.read(name, start, size)

    def fetch(self, download: Download) -> Path:
        archive = download.folder / "archive"
        self._save(archive, download)
        download.step = "checking"
        self._check(archive)
        download.step = "unpacking"
        return unpack(archive, download.folder / "unpacked", self.address)

    def _save(self, archive: Path, download: Download) -> None:
        """A connection that breaks is taken up where it broke, a few times without any byte at most."""
        failures = 0
        while True:
            before = archive.stat().st_size if archive.exists() else 0
            try:
                self._continue(archive, before, download)
                return
            except urllib.error.HTTPError as error:
                if error.code not in _WORTH_ANOTHER_TRY:
                    raise FetchError(
                        f"{self.address}: the server answers {error.code} {error.reason}"
                    ) from None
                cause = f"the server answers {error.code} {error.reason}"
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                cause = str(getattr(error, "reason", error)) or type(error).__name__
            came = archive.exists() and archive.stat().st_size > before
            failures = 0 if came else failures + 1
            if failures == _ATTEMPTS:
                raise FetchError(f"{self.address} cannot be downloaded: {cause}")
            time.sleep(2**failures / 4)

    def _continue(self, archive: Path, have: int, download: Download) -> None:
        request = urllib.request.Request(self.address, headers={"User-Agent": "paddock"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            answer = self._opener.open(request, timeout=_SILENCE_SECONDS)
        except urllib.error.HTTPError as error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                return  # all of it was here, and the checksum decides
            raise
        with answer:
            goes_on = answer.status == http.client.PARTIAL_CONTENT
            start = have if goes_on else 0
            length = int(answer.headers.get("Content-Length") or 0)
            if length:
                download.expect(start + length, self.address)
            with archive.open("ab" if goes_on else "wb") as opened:
                _copy(answer, opened)
        if length and archive.stat().st_size < start + length:
            raise ConnectionError("the connection ended too early")

    def _check(self, archive: Path) -> None:
        """An archive that is another one goes, so that the next attempt does not go on with it."""
        with archive.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != self._sha256:
            archive.unlink()
            raise FetchError(
                f"{self.address} has SHA-256 {found} and not {self._sha256}: it is refused. Correct "
                "the checksum (sha256 in the spec, --sha256 here), or find out who changed the archive"
            )


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """No redirect leads away from TLS."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.HTTPError(req.full_url, code, "and sends elsewhere, without TLS", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _copy(answer: IO[bytes], opened: IO[bytes]) -> None:
    while chunk := answer.read(_CHUNK_BYTES):
        opened.write(chunk)
