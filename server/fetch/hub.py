"""Models from the Hugging Face hub or a mirror of it (HF_ENDPOINT), with the token in HF_TOKEN."""

import hashlib
import shutil
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Self

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.models.checkpoint import download_model
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.hub import HubFile, Repository, is_repository
from paddock.engine.weights.options import LoadOptions
from paddock.server.fetch.download import Download
from paddock.server.fetch.errors import FetchError

_CLIENTS_NOTES = ".cache"
"""Where the hub's client keeps, inside the folder, what it needs to go on."""


class HubSource:
    """The files that `options` reads, of one commit."""

    def __init__(
        self, address: str, repository: Repository, options: LoadOptions, trust_remote_code: bool
    ) -> None:
        self.address = address
        self._repository = repository
        self._options = options
        self._trust_remote_code = trust_remote_code

    @classmethod
    def of(cls, address: str, model: ModelConfig, load: LoadConfig) -> Self:
        """Raises FetchError."""
        name, _, revision = address.removeprefix("hf://").partition("@")
        if not is_repository(name):
            raise FetchError(f"{address!r} is no address of a hub's model: give hf://owner/name[@revision]")
        try:
            options = LoadOptions.read(load)
        except CheckpointError as error:
            raise FetchError(str(error)) from None
        repository = Repository(
            name, "model", revision or model.revision, "@", None, None, options.ignore_patterns
        )
        return cls(address, repository, options, model.trust_remote_code)

    def resolve(self) -> str:
        """The commit."""
        try:
            self._repository = self._repository.pinned()
        except CheckpointError as error:
            raise FetchError(str(error)) from None
        return str(self._repository.revision)

    def sizes(self) -> dict[str, int]:
        try:
            return {file.name: file.size for file in self._repository.files()}
        except CheckpointError as error:
            raise FetchError(str(error)) from None

    def read(self, name: str, start: int, size: int) -> bytes:
        try:
            return self._repository.read(name, start, size)
        except CheckpointError as error:
            raise FetchError(str(error)) from None

    def fetch(self, download: Download) -> Path:
        """The weights are compared with the checksums that the hub has of them."""
        target = replace(self._repository, target=str(download.folder))
        try:
            files = target.files()
            self._download(Announced(target, files, download, self.address))
        except CheckpointError as error:
            raise FetchError(str(error)) from None
        shutil.rmtree(download.folder / _CLIENTS_NOTES, ignore_errors=True)
        download.step = "checking"
        for file in files:
            _check(download.folder / file.name, file, self.address)
        return download.folder

    def _download(self, announced: "Announced") -> None:
        download_model(announced, self._options, trust_remote_code=self._trust_remote_code)


@dataclass(frozen=True)
class Announced:
    """Tells the download how much comes, each time that some of the repository's files are asked for."""

    repository: Repository
    files: list[HubFile]
    download_to: Download
    address: str

    def download(self, patterns: list[str], ignored: tuple[str, ...] = ()) -> Path:
        unwanted = [*self.repository.ignored, *ignored]
        sizes = [
            file.size
            for file in self.files
            if any(fnmatch(file.name, each) for each in patterns)
            and not any(fnmatch(file.name, each) for each in unwanted)
        ]
        self.download_to.expect(sum(sizes), self.address)
        return self.repository.download(patterns, ignored)


def _check(path: Path, file: HubFile, address: str) -> None:
    """A file that is not what the hub says goes, so that the next attempt fetches it again."""
    if file.sha256 is None or not path.is_file():
        return
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != file.sha256:
        path.unlink()
        raise FetchError(
            f"{address}: {file.name} arrived with SHA-256 {found}, and the hub says {file.sha256}; it is fetched again"
        )
