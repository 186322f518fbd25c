"""A model hub of the tests' own: folders served as repositories with revisions, over the hub's wire format."""

import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from loopback_http import LoopbackHttp


@dataclass
class Repository:
    """Folders by revision. A token makes it private; `cut` ends the first download of each file after that many bytes.
    `checksums`: what is said of a large file, by name, where that is not the truth.
    """

    revisions: dict[str, Path]
    token: str | None = None
    cut: int | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    already_cut: set[str] = field(default_factory=set)

    def commit(self, revision: str) -> str | None:
        """Forty hex digits for a revision's name, or for such digits themselves."""
        commits = {name: hashlib.sha1(name.encode()).hexdigest() for name in self.revisions}
        return commits.get(revision) or (revision if revision in commits.values() else None)

    def folder(self, commit: str) -> Path:
        return next(path for name, path in self.revisions.items() if self.commit(name) == commit)


class Hub(LoopbackHttp):
    """`requests` are the files that were fetched: (method, path, range)."""

    def __init__(self, **repositories: Repository) -> None:
        self.repositories = {name.replace("__", "/"): repository for name, repository in repositories.items()}
        self.requests: list[tuple[str, str, str | None]] = []
        hub = self

        class Handler(_Handler):
            def do_HEAD(self) -> None:
                self.answer(hub)

            def do_GET(self) -> None:
                self.answer(hub)

        super().__init__(Handler)

    def fetched(self) -> set[str]:
        """Names of the files whose content was asked for."""
        return {
            path.rpartition("/")[2]
            for method, path, _ in self.requests
            if method == "GET" and "/resolve/" in path
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Requests are in `Hub.requests`, not on the screen."""

    def answer(self, hub: Hub) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        hub.requests.append((self.command, path, self.headers.get("Range")))
        name = "/".join(path.removeprefix("api/models/").split("/")[:2])
        repository = hub.repositories.get(name)
        if repository is None:
            return self._refuse(404, "RepoNotFound")
        if repository.token is not None and self.headers.get("Authorization") != f"Bearer {repository.token}":
            return self._refuse(401, "RepoNotFound")
        rest = path.partition(name + "/")[2].split("/", 2)
        commit = repository.commit(rest[1])
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        match rest[0]:
            case "revision":
                self._json(
                    {"id": name, "sha": commit, "siblings": [], "private": repository.token is not None}
                )
            case "tree":
                self._json(_entries(repository, repository.folder(commit)))
            case _:
                self._file(repository, commit, rest[2])

    def _file(self, repository: Repository, commit: str, name: str) -> None:
        file = repository.folder(commit) / name
        if not file.is_file():
            return self._refuse(404, "EntryNotFound")
        data = file.read_bytes()
        asked = self.headers.get("Range")
        first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        start, whole, tag = int(first), len(data), hashlib.sha1(data).hexdigest()
        data = data[: int(last) + 1] if last else data
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{tag}"')
        self.send_header("Content-Length", str(len(data) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{whole}")
        self.end_headers()
        if self.command == "HEAD":
            return None
        if repository.cut is not None and name not in repository.already_cut and len(data) > repository.cut:
            repository.already_cut.add(name)
            self.wfile.write(data[start : start + repository.cut])
            self.close_connection = True
            return None
        self.wfile.write(data[start:])
        return None

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entries(repository: Repository, folder: Path) -> list[dict[str, object]]:
    """Weights lie in the large file storage, which knows their SHA-256."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data, name = file.read_bytes(), file.relative_to(folder).as_posix()
        entry = {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        if name.endswith(".safetensors"):
            checksum = repository.checksums.get(name, hashlib.sha256(data).hexdigest())
            entry["lfs"] = {"oid": checksum, "size": len(data), "pointerSize": 134}
        found.append(entry)
    return found
