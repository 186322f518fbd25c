"""Models from S3 and what speaks its protocol. Endpoint, region and credentials come from the AWS_ variables."""

import hashlib
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Self

from obstore import get, get_range
from obstore import list as list_objects
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from paddock.server.fetch.download import Download
from paddock.server.fetch.errors import FetchError

if TYPE_CHECKING:
    from obstore import GetOptions

_FILES_AT_ONCE = 4
_CHUNK_BYTES = 8 << 20
_ATTEMPTS = 5
_SIGNED_BY = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")
_ERROR_CHARACTERS = 200


@dataclass(frozen=True)
class _Object:
    """`name`: relative to the model's folder. `etag`: changes with the content; some servers give none."""

    key: str
    name: str
    size: int
    etag: str | None


class BucketSource:
    """All objects below a prefix."""

    def __init__(self, address: str, store: S3Store, prefix: str) -> None:
        self.address = address
        self._store = store
        self._prefix = prefix
        self._objects: list[_Object] = []

    @classmethod
    def of(cls, address: str, environ: Mapping[str, str] = os.environ) -> Self:
        """Raises FetchError."""
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        insecure = environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        try:
            store = S3Store(
                bucket,
                skip_signature=not any(environ.get(name) for name in _SIGNED_BY),
                client_options={"allow_http": insecure},
                retry_config={"max_retries": _ATTEMPTS, "retry_timeout": timedelta(minutes=2)},
            )
        except BaseError as error:
            raise _worded(address, error) from None
        return cls(address, store, prefix.strip("/"))

    def resolve(self) -> str:
        """A hash of what the folder holds."""
        try:
            batches = list(list_objects(self._store, self._prefix or None))
        except BaseError as error:
            raise _worded(self.address, error) from None
        found = [
            _Object(each["path"], self._name(each["path"]), each["size"], each["e_tag"])
            for batch in batches
            for each in batch
        ]
        # Consoles keep an empty object for a folder.
        folders = {str(parent) for each in found for parent in PurePosixPath(each.name).parents}
        named = (each for each in found if each.name and each.name not in folders)
        self._objects = sorted(named, key=lambda each: each.key)
        if not self._objects:
            raise FetchError(
                f"{self.address} holds no object: check bucket and folder, and that the credentials may list"
            )
        return hashlib.sha256(repr(self._objects).encode()).hexdigest()

    def sizes(self) -> dict[str, int]:
        return {each.name: each.size for each in self._objects}

    def read(self, name: str, start: int, size: int) -> bytes:
        key = next(each.key for each in self._objects if each.name == name)
        try:
            return bytes(get_range(self._store, key, start=start, length=size))
        except BaseError as error:
            raise _worded(self.address, error) from None

    def fetch(self, download: Download) -> Path:
        download.expect(sum(each.size for each in self._objects), self.address)
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            for _ in pool.map(lambda each: self._save(each, download.folder), self._objects):
                pass
        return download.folder

    def _name(self, key: str) -> str:
        """Raises FetchError for a key that would lie outside the folder."""
        name = key.removeprefix(self._prefix).lstrip("/")
        if any(part in (".", "..", "") for part in name.split("/") if name) or "\0" in name:
            raise FetchError(f"{self.address}: the object {key[:200]!r} cannot be a file; rename it")
        return str(PurePosixPath(name)) if name else ""

    def _save(self, one: _Object, folder: Path) -> None:
        """Goes on where an earlier attempt stopped."""
        file = folder / one.name
        file.parent.mkdir(parents=True, exist_ok=True)
        failures = 0
        with file.open("ab") as opened:
            while (have := opened.tell()) < one.size:
                try:
                    self._append(one, have, opened)
                except BaseError as error:
                    failures += 1
                    if failures == _ATTEMPTS or isinstance(error, _FINAL):
                        raise _worded(self.address, error) from None

    def _append(self, one: _Object, have: int, opened: BinaryIO) -> None:
        options: GetOptions = {"range": {"offset": have}}
        if one.etag is not None:
            options["if_match"] = one.etag
        opened.writelines(get(self._store, one.key, options=options).stream(min_chunk_size=_CHUNK_BYTES))


_FINAL = (NotFoundError, PermissionDeniedError, PreconditionError, UnauthenticatedError)


def _worded(address: str, error: BaseError) -> FetchError:
    """What the server answered may repeat what it was sent: it is shown only where its kind is not known."""
    # Errors of a list have no class of their own.
    status = re.search(r"status code: (\d+)", str(error))
    code = status[1] if status else ""
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or code in ("401", "403"):
        return FetchError(f"{address}: the server refuses the credentials, or they may not read this bucket")
    if isinstance(error, NotFoundError) or code == "404":
        return FetchError(f"{address}: there is no such bucket or object")
    if isinstance(error, PreconditionError):
        return FetchError(f"{address} was changed during the download; it is fetched again")
    if code.startswith("3"):
        return FetchError(f"{address}: the bucket is in another region; set AWS_REGION")
    text = " ".join(str(error).split())
    for name in _SECRETS:
        if os.environ.get(name):
            text = text.replace(os.environ[name], "***")
    return FetchError(f"{address}: {text[:_ERROR_CHARACTERS]}")
