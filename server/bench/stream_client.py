"""Send one request and time its answer, piece by piece."""

import time
from typing import Any

import aiohttp
import msgspec

from paddock.server.bench.outcome import Outcome

READ_SECONDS, CONNECT_SECONDS = 600.0, 60.0
MAX_ERROR_CHARACTERS = 300
DATA = b"data: "


class Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Any] | None = None


class Choice(msgspec.Struct):
    """Of a completion, a chat, or a chunk of either."""

    text: str | None = None
    delta: Delta | None = None
    message: Delta | None = None

    def words(self) -> str:
        said = self.delta or self.message
        if said is None:
            return self.text or ""
        return said.content or said.reasoning or said.reasoning_content or ("…" if said.tool_calls else "")


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = None


class Reply(msgspec.Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(Reply).decode


def new_session(headers: dict[str, str]) -> aiohttp.ClientSession:
    """As many connections as requests ask for."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return aiohttp.ClientSession(
        headers=headers, timeout=timeout, connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**20
    )


async def send(
    session: aiohttp.ClientSession, url: str, body: bytes, request_id: str, run_began: float
) -> Outcome:
    """Never raises for a fault of the server or the network: it becomes the outcome's error."""
    began = time.perf_counter()
    outcome = Outcome(began - run_began)
    headers = {"content-type": "application/json", "x-request-id": request_id}
    try:
        async with session.post(url, data=body, headers=headers) as reply:
            if reply.status != 200:
                outcome.error = f"{reply.status}: {(await reply.text())[:MAX_ERROR_CHARACTERS]}"
            elif reply.content_type == "text/event-stream":
                await _time_stream(reply, outcome, began)
            else:
                _take(outcome, _decode(await reply.read()))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        outcome.error = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
    except msgspec.MsgspecError as error:
        outcome.error = f"the answer cannot be read: {error}"
    outcome.seconds = outcome.seconds or time.perf_counter() - began
    return outcome


async def _time_stream(reply: aiohttp.ClientResponse, outcome: Outcome, began: float) -> None:
    """Follow server-sent events to their end."""
    pending, last, ended = b"", began, False
    async for data in reply.content.iter_any():
        now = time.perf_counter()
        *events, pending = (pending + data).split(b"\n\n")
        for event in events:
            if not event.startswith(DATA):  # a comment that keeps the connection alive
                continue
            if event == b"data: [DONE]":
                ended = True
            elif _take(outcome, _decode(event[len(DATA) :])):
                if outcome.first_token is None:
                    outcome.first_token = now - began
                else:
                    outcome.gaps.append(now - last)
                last = now
                outcome.seconds = now - began
    if not ended and not outcome.error:
        outcome.error = "the stream ended before its [DONE]"


def _take(outcome: Outcome, reply: Reply) -> bool:
    """Add a reply, or a chunk of one; whether it brought text."""
    if reply.error is not None:
        outcome.error = str(reply.error)[:MAX_ERROR_CHARACTERS]
    if reply.usage is not None:
        outcome.num_prompt_tokens = reply.usage.prompt_tokens
        outcome.num_output_tokens = reply.usage.completion_tokens or 0
    words = "".join(choice.words() for choice in reply.choices)
    outcome.text += words
    return bool(words)
