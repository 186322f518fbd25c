"""The members of an archive that lies on an HTTPS server, read where they are by range requests."""

import http.client
import io
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from functools import cached_property
from typing import IO

from paddock.server.fetch.errors import FetchError

_BUFFER_BYTES = 64 << 10
_SILENCE_SECONDS = 30.0
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
_UNREACHABLE = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


class RemoteArchive:
    """A .tar or .zip. One that is compressed as a whole has no place to begin but its first byte."""

    def __init__(self, address: str, opener: urllib.request.OpenerDirector) -> None:
        self._address = address
        self._opener = opener

    def sizes(self) -> dict[str, int]:
        """Bytes of each member by its name below the model's folder. Raises FetchError."""
        return {name: size for name, (_, size) in self._named.items()}

    def read(self, name: str, start: int, size: int) -> bytes:
        """Raises FetchError."""
        member, _ = self._named[name]
        try:
            content = _opened(self._archive, member)
            content.seek(start)
            return content.read(size)
        except (*_BROKEN, *_UNREACHABLE) as error:
            raise self._fault(error) from None

    @cached_property
    def _named(self) -> dict[str, tuple[str, int]]:
        """Member and bytes by name."""
        try:
            found = _files(self._archive)
        except (*_BROKEN, *_UNREACHABLE) as error:
            raise self._fault(error) from None
        tops = {name.partition("/")[0] for name in found}
        # A single folder around everything is no part of the model.
        prefix = f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in found) else ""
        return {name.removeprefix(prefix): (name, size) for name, size in found.items()}

    @cached_property
    def _archive(self) -> tarfile.TarFile | zipfile.ZipFile:
        if not self._address.endswith((".tar", ".zip")):
            raise FetchError(f"{self._address} can only be read whole")
        file = io.BufferedReader(_RangeFile(self._address, self._opener), _BUFFER_BYTES)
        if self._address.endswith(".zip"):
            return zipfile.ZipFile(file)
        return tarfile.open(fileobj=file, mode="r:")

    def _fault(self, error: Exception) -> FetchError:
        return FetchError(f"{self._address}: {getattr(error, 'reason', error) or type(error).__name__}")


def _files(archive: tarfile.TarFile | zipfile.ZipFile) -> dict[str, int]:
    if isinstance(archive, zipfile.ZipFile):
        return {each.filename: each.file_size for each in archive.infolist() if not each.is_dir()}
    return {each.name.removeprefix("./"): each.size for each in archive.getmembers() if each.isreg()}


def _opened(archive: tarfile.TarFile | zipfile.ZipFile, name: str) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(name)
    content = archive.extractfile(
        next(each for each in archive.getmembers() if each.name.removeprefix("./") == name)
    )
    assert content is not None, "only regular files are listed"
    return content


class _RangeFile(io.RawIOBase):
    """A file on a server that answers with parts of it. Raises what urllib raises."""

    def __init__(self, address: str, opener: urllib.request.OpenerDirector) -> None:
        self._address, self._opener = address, opener
        self._place = 0
        with self._ask("bytes=0-0") as answer:
            total = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
        if not total.isdigit():
            raise FetchError(f"{address}: the server does not answer with parts of files")
        self._size = int(total)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._place)
        if wanted <= 0:
            return 0
        with self._ask(f"bytes={self._place}-{self._place + wanted - 1}") as answer:
            data = answer.read(wanted)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _ask(self, part: str) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._address, headers={"User-Agent": "paddock", "Range": part})
        answer: http.client.HTTPResponse = self._opener.open(request, timeout=_SILENCE_SECONDS)
        return answer
