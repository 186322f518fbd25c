"""From a file of requests to a file of answers."""

import asyncio
import contextlib
import hashlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Never

import aiohttp
from tqdm import tqdm

from paddock.engine.cache_root import cache_root
from paddock.server.batch import transfer
from paddock.server.batch.errors import BatchError
from paddock.server.batch.journal import SUFFIX, Header, Journal
from paddock.server.batch.line import Fault, Request, fault_answer, read_line, reply_answer
from paddock.server.batch.private_server import PrivateServer
from paddock.server.batch.scrape import metrics_on

GO_ON = "The answers so far are kept: run the same command again to go on"
DEFAULT_RETRY_SECONDS = 1.0
Place = tuple[int, int]
"""The number of a line and its offset in the file."""


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for. `input` and `output` are paths or http(s) addresses."""

    input: str
    output: str
    folder: Path | None
    """Where answers gather; beside a local output when unset."""

    words: Sequence[str]
    """What would follow `paddock serve`."""

    model: str
    most_at_once: int
    metrics: tuple[str, int] | None
    """Host and port."""


@dataclass(frozen=True, slots=True)
class Result:
    num_lines: int
    num_errors: int
    num_before: int
    """Lines that an earlier run had answered."""


async def run_job(job: Job) -> Result:
    """Answer every line. Raises BatchError; what was answered until then is kept. SIGTERM cancels."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.ExitStack() as stack:
        source = Path(job.input)
        if transfer.is_url(job.input):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="paddock-batch-"))
            source = Path(folder) / "input"
            await transfer.fetch(job.input, source)
        file = stack.enter_context(_opened(source))
        header = Header(transfer.sha256_of(source), job.model)
        journal = Journal(journal_path(job, header), header)
        stack.callback(journal.close)
        return await _Run(job, file, journal).run()


def journal_path(job: Job, header: Header) -> Path:
    """The same for each run of one batch. Without a folder of the user's, answers to an upload gather in our cache."""
    if not transfer.is_url(job.output):
        output = Path(job.output)
        return (job.folder or output.absolute().parent) / (output.name + SUFFIX)
    folder = job.folder or cache_root() / "batches"
    # Without the query: a signed address has a new one each time.
    identity = f"{transfer.without_query(job.output)}\n{header.input_sha256}"
    return folder / (hashlib.sha256(identity.encode()).hexdigest()[:16] + SUFFIX)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BatchError(f"--input-file {path}: cannot be read: {error.strerror}") from None


class _Run:
    def __init__(self, job: Job, file: BinaryIO, journal: Journal) -> None:
        self._job = job
        self._file = file
        self._journal = journal
        self._num_before = len(journal.done)
        self._progress: tqdm[Never]

    async def run(self) -> Result:
        todo, num_lines = self._judge_lines()
        if self._num_before:
            print(f"going on: {self._num_before} of {num_lines} lines are answered", file=sys.stderr)
        if todo:
            await self._serve(todo, num_lines)
        await self._deliver()
        result = Result(num_lines, self._journal.num_errors, self._num_before)
        self._journal.remove()
        return result

    def _judge_lines(self) -> tuple[list[Place], int]:
        """Where the requests without an answer are, and how many lines there are. Faulty lines are answered here."""
        todo: list[Place] = []
        seen: set[str] = set()
        done = self._journal.done
        num_lines = 0
        offset = 0
        for number, text in enumerate(self._file, 1):
            start, offset = offset, offset + len(text)
            if not text.strip():
                continue
            num_lines += 1
            line = read_line(number, text, seen)
            if number in done:
                continue
            if isinstance(line, Fault):
                self._journal.add(number, fault_answer(line), is_error=True)
            else:
                todo.append((number, start))
        return todo, num_lines

    async def _serve(self, todo: Sequence[Place], num_lines: int) -> None:
        """Start the engine, work the requests off, stop it."""
        server = PrivateServer(self._job.words)
        try:
            async with server.session() as session, contextlib.AsyncExitStack() as stack:
                if self._job.metrics is not None:
                    await stack.enter_async_context(metrics_on(*self._job.metrics, session))
                await server.until_ready(session)
                places = iter(todo)
                with tqdm(total=num_lines, initial=num_lines - len(todo), unit="line") as self._progress:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(min(self._job.most_at_once, len(todo))):
                            group.create_task(self._work(places, session, server))
        except* BatchError as errors:
            raise _first(errors) from None
        finally:
            server.stop()

    async def _work(
        self, places: Iterator[Place], session: aiohttp.ClientSession, server: PrivateServer
    ) -> None:
        """One of several that take the next line each."""
        for number, offset in places:
            self._file.seek(offset)
            request = read_line(number, self._file.readline(), set())
            assert isinstance(request, Request)  # judged before
            status, body = await self._ask(number, request, session, server)
            answer = reply_answer(request.custom_id, status, _request_id(number), body)
            self._journal.add(number, answer, is_error=status >= 400)
            self._progress.update()

    async def _ask(
        self, number: int, request: Request, session: aiohttp.ClientSession, server: PrivateServer
    ) -> tuple[int, bytes]:
        """Status and body. A full queue is waited for; the loss of the engine is nobody's answer."""
        headers = {"content-type": "application/json", "x-request-id": _request_id(number)}
        while True:
            try:
                async with session.post(
                    request.url, data=request.body, headers=headers, allow_redirects=False
                ) as reply:
                    status, body = reply.status, await reply.read()
                    retry_after = reply.headers.get("retry-after", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise BatchError(f"the engine is lost: {error or type(error).__name__}. {GO_ON}") from None
            if status >= 500 and not await server.is_healthy(session):
                raise BatchError(f"the engine is lost; its log above says why. {GO_ON}")
            if status != 503:
                return status, body
            await asyncio.sleep(float(retry_after) if retry_after.isdecimal() else DEFAULT_RETRY_SECONDS)

    async def _deliver(self) -> None:
        """Write the output file whole, or upload it."""
        if transfer.is_url(self._job.output):
            with tempfile.TemporaryDirectory(prefix="paddock-batch-", dir=self._job.folder) as folder:
                whole = Path(folder) / "output"
                with whole.open("wb") as file:
                    self._journal.write_to(file)
                await transfer.upload(whole, self._job.output)
            return
        target = Path(self._job.output)
        whole = transfer.new_file_beside(target)
        try:
            with whole.open("wb") as file:
                self._journal.write_to(file)
            whole.replace(target)
        except OSError as error:
            whole.unlink(missing_ok=True)
            raise BatchError(
                f"--output-file {target}: cannot be written: {error.strerror}. {GO_ON}"
            ) from None


def _request_id(number: int) -> str:
    """The name of a line's request in the server's log."""
    return f"batch-line-{number}"


def _first(errors: ExceptionGroup[BatchError]) -> BatchError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
