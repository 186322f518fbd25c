"""Files of a local folder, or of a repository of the Hugging Face hub downloaded to its cache."""

from dataclasses import dataclass, field
from pathlib import Path

from paddock.engine.models.errors import CheckpointError


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

    def download(self, patterns: list[str], ignored: tuple[str, ...] = ()) -> Path:
        """The folder in the hub's cache, files already there included. Raises `CheckpointError`."""
        from httpx2 import HTTPError  # the hub's own client, whose errors it lets through
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError

        try:
            folder = snapshot_download(
                self.name,
                revision=self.revision,
                cache_dir=self.cache_dir,
                allow_patterns=patterns,
                ignore_patterns=[*self.ignored, *ignored],
                token=self.token,
            )
        except LocalEntryNotFoundError:
            raise CheckpointError(
                f"{self.flag} {self.name!r} is neither a local folder nor downloadable: the hub cannot be reached. "
                "Mount the model and give its path, or allow the download."
            ) from None
        except RevisionNotFoundError:
            raise CheckpointError(
                f"{self.flag} {self.name!r} has no revision {self.revision or 'main'!r}; give a branch, a tag or a commit "
                f"of it with {self.revision_flag}."
            ) from None
        except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.flag} {self.name!r} cannot be downloaded: {_reason(error)}."
            ) from None
        return Path(folder)


def is_repository(name: str) -> bool:
    """`owner/name`: a path that is absolute, relative by a dot, or deeper is meant as a folder."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "~"))


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
