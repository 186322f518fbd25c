"""Folders for sockets, that only this user may enter and that a crash leaves for the next start to remove.

The process that makes one keeps a lock on it (flock(2)) until it ends, however it ends. So a folder of this user's whose
lock is free is nobody's any more.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

LONGEST_SOCKET_PATH = 107
"""Bytes that a Unix socket's address holds, sockaddr_un in unix(7)."""

PREFIX = "paddock-run-"
"""All that begins so is taken for ours."""

UNLOCKED_PREFIX = ".paddock-run-"
"""Of a folder whose maker has not locked it yet."""


def private_folder() -> Path:
    """A new one, under PADDOCK_RPC_BASE_PATH, or where there is room; who has no use for it any more removes it.

    Raises `OSError`, in words for the user, when the chosen folder cannot hold one.
    """
    chosen = os.environ.get("PADDOCK_RPC_BASE_PATH", "").strip() or None
    try:
        folder = _new_folder(Path(chosen or tempfile.gettempdir()))
    except OSError as error:
        where = f"PADDOCK_RPC_BASE_PATH {chosen}" if chosen else "the temporary folder"
        raise OSError(f"{where} takes no new folder ({error.strerror}); name a writable one") from error
    if len(f"{folder}/engine".encode()) > LONGEST_SOCKET_PATH:
        os.rmdir(folder)
        if chosen:
            raise OSError(
                f"PADDOCK_RPC_BASE_PATH {chosen} is too long for a socket's address; use a shorter one"
            )
        folder = _new_folder(Path("/tmp"))
    return folder


def _new_folder(parent: Path) -> Path:
    sweep(parent)
    unlocked = Path(tempfile.mkdtemp(prefix=UNLOCKED_PREFIX, dir=parent))
    # The descriptor stays open: the lock is to last as long as this process.
    with contextlib.suppress(OSError):  # a file system without locks is not swept either
        _lock(unlocked)
    return unlocked.rename(parent / unlocked.name.replace(UNLOCKED_PREFIX, PREFIX, 1))


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock, or None where another process does. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def sweep(parent: Path) -> None:
    """Remove what processes that were killed have left in `parent`."""
    for folder in _own(parent):
        with contextlib.suppress(OSError):  # another start may be removing it
            descriptor = _lock(folder)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


def _own(parent: Path) -> Iterator[Path]:
    """This user's folders of ours: never what others have, or what is a link."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                if status.st_uid == os.geteuid() and status.st_mode & 0o077 == 0:
                    yield Path(entry.path)
