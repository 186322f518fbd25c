"""Unpacks an archive that nobody here has looked into: files and folders only, inside the target, bounded."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from paddock.server.fetch.errors import FetchError

MAX_FILES = 100_000
MAX_GROWTH = 100
"""Times the archive's size: weights hardly compress, and a bomb does ten times better than this."""

_FREE_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_Member = tuple[str, IO[bytes]]


def unpack(archive: Path, target: Path, address: str) -> Path:
    """The folder of the model: `target`, or the only folder in it. Raises FetchError."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    allowed = MAX_GROWTH * archive.stat().st_size + _FREE_BYTES
    try:
        for count, (name, content) in enumerate(_members(archive), start=1):
            if count > MAX_FILES:
                raise FetchError(f"it holds more than {MAX_FILES} files")
            allowed -= _write(target / _checked(name), content, allowed)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise FetchError(f"{address} is no sound .tar, .tar.gz or .zip archive: {error}") from None
    except FetchError as error:
        raise FetchError(f"{address}: {error}") from None
    top = list(target.iterdir())
    return top[0] if len(top) == 1 and top[0].is_dir() else target


def _members(archive: Path) -> Iterator[_Member]:
    return _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*") as opened:
        for member in opened:
            if member.isdir():
                continue
            content = opened.extractfile(member) if member.isreg() else None
            if content is None:
                raise FetchError(_no_file(member.name))
            yield member.name, content


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise FetchError(_no_file(member.filename))
            if member.flag_bits & 1:
                raise FetchError(f"{member.filename[:200]!r} is encrypted; pack it without a password")
            with opened.open(member) as content:
                yield member.filename, content


def _no_file(name: str) -> str:
    return f"{name[:200]!r} is a link or a device; pack the files themselves (tar --dereference)"


def _checked(name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise FetchError(f"{name[:200]!r} would lie outside the model's folder; pack with relative paths")
    return path


def _write(file: Path, content: IO[bytes], allowed: int) -> int:
    """The bytes written, `allowed` at most."""
    written = 0
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as opened:
            while chunk := content.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > allowed:
                    raise FetchError(f"it unpacks to more than {MAX_GROWTH} times its size, as a bomb does")
                opened.write(chunk)
    except (FileExistsError, NotADirectoryError):
        raise FetchError(f"{str(file.name)[:200]!r} is in it twice, or is a file and a folder") from None
    return written
