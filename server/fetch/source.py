"""What every kind of source can do, and which one an address names."""

from pathlib import Path
from typing import Protocol

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.server.fetch.download import Download
from paddock.server.fetch.errors import FetchError


class Source(Protocol):
    """A model somewhere else."""

    address: str

    def resolve(self) -> str:
        """What the address stands for now, as a commit: files of two versions are never mixed. Raises FetchError."""

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by name, after `resolve`. Raises FetchError."""

    def read(self, name: str, start: int, size: int) -> bytes:
        """Of one of them so many bytes, or as many as there are, without a download. Raises FetchError."""

    def fetch(self, download: Download) -> Path:
        """Fill the download's folder, going on with what is there; the folder of the model. Raises FetchError."""


def source_of(address: str, sha256: str | None, model: ModelConfig, load: LoadConfig) -> Source:
    """`model` and `load` say which files of a hub's repository are needed. Raises FetchError for a bad address."""
    scheme, _, rest = address.partition("://")
    if sha256 is not None and scheme != "https":
        raise FetchError(f"{address}: --sha256 is of an https:// archive; leave it out")
    if model.revision is not None and (scheme != "hf" or "@" in rest):
        raise FetchError(
            f"{address}: --revision {model.revision} is for an hf:// address without @; leave it out"
        )
    # Imported where it is needed: one process fetches from one source.
    match scheme:
        case "hf":
            from paddock.server.fetch.hub import HubSource

            return HubSource.of(address, model, load)
        case "s3":
            from paddock.server.fetch.bucket import BucketSource

            return BucketSource.of(address)
        case "https" if sha256 is not None:
            from paddock.server.fetch.archive import ArchiveSource

            return ArchiveSource(address, sha256.lower())
        case "https":
            raise FetchError(f"{address}: an archive needs --sha256, the checksum that it must have")
    raise FetchError(
        f"{address!r} is no address of a model: give hf://owner/name[@revision], s3://bucket/folder or "
        "https://host/model.tar.gz"
    )
