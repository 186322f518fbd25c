"""Answers as they come, so that a run that is killed goes on where it was."""

import fcntl
import io
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from paddock.server.batch.errors import BatchError

SUFFIX = ".partial"


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """The first line: whose answers these are."""

    input_sha256: str
    model: str


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """Any other line."""

    line: int
    """Counted from 1."""

    is_error: bool
    answer: msgspec.Raw


_read_header = msgspec.json.Decoder(Header).decode
_read_entry = msgspec.json.Decoder(Entry).decode


class Journal:
    """An append-only file, locked while it is open. What was added stays added when the process is killed."""

    def __init__(self, path: Path, header: Header) -> None:
        """Open or begin. Raises BatchError when it is in use, or holds answers to another batch."""
        self.path = path
        self._places: dict[int, int] = {}
        self.num_errors = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Answers may be private, whatever the umask says.
            self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError as error:
            raise BatchError(f"{path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise BatchError(f"{path} is in use by another run of this batch") from None
        self._recover(header)

    @property
    def done(self) -> frozenset[int]:
        """Numbers of the lines with an answer."""
        return frozenset(self._places)

    def add(self, number: int, answer: bytes, is_error: bool) -> None:
        """Raises BatchError when the disk is full."""
        line = msgspec.json.encode(Entry(number, is_error, msgspec.Raw(answer))) + b"\n"
        place = self._file.seek(0, io.SEEK_END)
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise BatchError(f"{self.path} cannot be written: {error.strerror}") from None
        self._places[number] = place
        self.num_errors += is_error

    def write_to(self, file: BinaryIO) -> None:
        """All answers, in the order of the requests."""
        for number in sorted(self._places):
            self._file.seek(self._places[number])
            file.write(bytes(_read_entry(self._file.readline()).answer) + b"\n")

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        """The answers are where they belong."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _recover(self, header: Header) -> None:
        """Take up the answers that are there; half a last line is what a kill leaves, and is cut off."""
        first = self._file.readline()
        begun = msgspec.json.encode(header) + b"\n"
        if not first.endswith(b"\n") and begun.startswith(first):  # new, or killed at once
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(begun)
            self._file.flush()
            return
        try:
            if _read_header(first) != header:
                raise BatchError(
                    f"{self.path} holds answers to another input or of another model: remove it to begin anew, or "
                    "name another output"
                )
            place = self._file.tell()
            while (line := self._file.readline()).endswith(b"\n"):
                entry = _read_entry(line)
                self._places[entry.line] = place
                self.num_errors += entry.is_error
                place = self._file.tell()
        except msgspec.MsgspecError as error:
            raise BatchError(
                f"{self.path} is no record of a batch ({error}): remove it to begin anew"
            ) from None
        self._file.truncate(place)
