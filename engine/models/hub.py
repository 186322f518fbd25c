"""Files of a local folder, or of a repository of the Hugging Face hub downloaded to its cache."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import PARTIAL_CONTENT
from pathlib import Path
from typing import Self

from paddock.engine.models.errors import CheckpointError

_BRANCH = "main"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. `sha256` is None for a small one, which the hub keeps in git itself."""

    name: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Repository:
    """A name that a user gave for files of some kind, and how to fetch them when it is one of the hub's."""

    name: str
    flag: str
    """What to call it in errors."""

    revision: str | None
    revision_flag: str
    token: str | bool | None = field(repr=False)
    cache_dir: str | None
    ignored: tuple[str, ...] = ()
    target: str | None = None
    """Downloads go into this folder, as plain files, instead of into the cache."""

    def folder(self) -> Path | None:
        """The local folder of this name; None for a hub repository. Raises `CheckpointError`."""
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            if self.revision is not None:
                raise CheckpointError(
                    f"{self.revision_flag} {self.revision!r} chooses a revision of a hub repository, and {self.flag} "
                    f"{self.name!r} is a local folder; leave it out."
                )
            return folder
        if folder.exists():
            raise CheckpointError(f"{self.flag} {self.name!r} is a file; a checkpoint folder is expected.")
        if not is_repository(self.name):
            raise CheckpointError(
                f"{self.flag} folder {self.name!r} does not exist; check the path, or that its volume is mounted."
            )
        return None

    def pinned(self) -> Self:
        """The same repository at the commit that its revision names now. Raises `CheckpointError`."""
        from huggingface_hub import HfApi

        with self._worded():
            info = HfApi().model_info(self.name, revision=self.revision or _BRANCH, token=self.token)
        return replace(self, revision=info.sha)

    def files(self) -> list[HubFile]:
        """What the repository holds at its revision. Raises `CheckpointError`."""
        from huggingface_hub import HfApi, RepoFile

        with self._worded():
            entries = HfApi().list_repo_tree(
                self.name, recursive=True, revision=self.revision, token=self.token
            )
            return [
                HubFile(each.path, each.size, each.lfs.sha256 if each.lfs else None)
                for each in entries
                if isinstance(each, RepoFile)
            ]

    def read(self, name: str, start: int, size: int) -> bytes:
        """A part of a file, of which nothing is kept. Raises `CheckpointError`."""
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # as its manual does

        asked = {**build_hf_headers(token=self.token), "Range": f"bytes={start}-{start + size - 1}"}
        with self._worded():
            url = hf_hub_url(self.name, name, revision=self.revision)
            with get_session().stream("GET", url, headers=asked, follow_redirects=True) as answer:
                hf_raise_for_status(answer)
                if answer.status_code != PARTIAL_CONTENT and start:
                    raise ValueError(f"{name}: the hub does not answer with parts of files")
                return _up_to(answer.iter_bytes(), size)

    def download(self, patterns: list[str], ignored: tuple[str, ...] = ()) -> Path:
        """The folder in the hub's cache, files already there included. Raises `CheckpointError`."""
        from huggingface_hub import snapshot_download

        with self._worded():
            folder = snapshot_download(
                self.name,
                revision=self.revision,
                cache_dir=self.cache_dir,
                local_dir=self.target,
                allow_patterns=patterns,
                ignore_patterns=[*self.ignored, *ignored],
                token=self.token,
            )
        return Path(folder)

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """What the hub's client raises, in our words."""
        from httpx2 import HTTPError  # the hub's own client, whose errors it lets through
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError

        try:
            yield
        except LocalEntryNotFoundError:
            raise CheckpointError(
                f"{self.flag} {self.name!r} is neither a local folder nor downloadable: the hub cannot be reached. "
                "Mount the model and give its path, or allow the download."
            ) from None
        except RevisionNotFoundError:
            raise CheckpointError(
                f"{self.flag} {self.name!r} has no revision {self.revision or _BRANCH!r}; give a branch, a tag or a commit "
                f"of it with {self.revision_flag}."
            ) from None
        except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.flag} {self.name!r} cannot be downloaded: {_reason(error)}."
            ) from None


def _up_to(pieces: Iterable[bytes], size: int) -> bytes:
    """The first bytes, however much would come."""
    text = bytearray()
    for piece in pieces:
        text += piece
        if len(text) >= size:
            break
    return bytes(text[:size])


def is_repository(name: str) -> bool:
    """`owner/name`: a path that is absolute, relative by a dot, or deeper is meant as a folder."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "~"))


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
