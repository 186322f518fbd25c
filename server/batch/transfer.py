"""Input from a file or by GET, output to a file or by PUT."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Never
from urllib.parse import urlsplit

import aiohttp
from tqdm import tqdm

from paddock.server.batch.errors import BatchError

CHUNK_BYTES = 1 << 20
ATTEMPTS = 4
FIRST_WAIT_SECONDS = 1.0
STALL_SECONDS = 120.0
"""A transfer may take long; standing still for this long ends it."""


def is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def without_query(url: str) -> str:
    """What may be shown of an address, and stays the same when it is signed anew."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=STALL_SECONDS)


async def fetch(url: str, target: Path) -> None:
    """GET into a new file, with a progress bar. Raises BatchError."""
    shown = without_query(url)
    for attempt in range(ATTEMPTS):
        try:
            async with aiohttp.ClientSession(timeout=_timeout()) as session, session.get(url) as reply:
                if reply.status == 200:
                    await _save(reply, target)
                    return
                problem = f"GET answered {reply.status}"
                if reply.status < 500 and reply.status != 429:
                    break
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"GET failed: {error or type(error).__name__}"
        await _wait(attempt)
    raise BatchError(f"--input-file {shown}: {problem}")


async def _save(reply: aiohttp.ClientResponse, target: Path) -> None:
    size = reply.content_length
    with target.open("wb") as file, tqdm(total=size, unit="B", unit_scale=True, desc="input") as progress:
        async for chunk in reply.content.iter_chunked(CHUNK_BYTES):
            file.write(chunk)
            progress.update(len(chunk))


async def upload(source: Path, url: str) -> None:
    """PUT a file, with a progress bar. Raises BatchError."""
    size = source.stat().st_size
    headers = {"content-type": "application/jsonl", "content-length": str(size)}
    for attempt in range(ATTEMPTS):
        try:
            with tqdm(total=size, unit="B", unit_scale=True, desc="output") as progress:
                async with (
                    aiohttp.ClientSession(timeout=_timeout()) as session,
                    session.put(url, data=_chunks(source, progress), headers=headers) as reply,
                ):
                    if reply.status < 300:
                        return
                    problem = f"PUT answered {reply.status}"
                    if reply.status < 500 and reply.status != 429:
                        break
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"PUT failed: {error or type(error).__name__}"
        await _wait(attempt)
    raise BatchError(f"--output-file {without_query(url)}: {problem}")


async def _chunks(source: Path, progress: "tqdm[Never]") -> AsyncIterator[bytes]:
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            progress.update(len(chunk))


async def _wait(attempt: int) -> None:
    if attempt + 1 < ATTEMPTS:
        await asyncio.sleep(FIRST_WAIT_SECONDS * 2**attempt)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_file_beside(path: Path) -> Path:
    """An empty file in the same folder, to be renamed to `path`. Raises BatchError."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        os.close(descriptor)
    except OSError as error:
        raise BatchError(f"{path.absolute().parent} takes no new file: {error.strerror}") from None
    return Path(name)
