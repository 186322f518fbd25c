"""Streaming clients of /v1/completions, in a process of their own: `streaming.py PORT MODEL CLIENTS REQUESTS`.

Each client sends its requests one after the other, each on a new connection. Prints one JSON object: seconds in all,
and the seconds to the first token of each request and between tokens. Prompts are random: none shares a cached block.
"""

import asyncio
import json
import random
import sys
import time

import uvloop

PROMPT_TOKENS = 32
ANSWER_TOKENS = 64
VOCABULARY = range(300, 2000)


def prompts(count: int) -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.choice(VOCABULARY) for _ in range(PROMPT_TOKENS)] for _ in range(count)]


class Stream(asyncio.Protocol):
    """One request. Events are counted, not parsed: what a client costs must not hide what the server does."""

    def __init__(self, request: bytes, ended: asyncio.Future[None]) -> None:
        self._request = request
        self._ended = ended
        self._tail = b""
        self.began = time.perf_counter()
        self.stamps: list[tuple[float, int]] = []
        """When some events came, and how many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        events = data.count(b"data: ")
        if events:
            self.stamps.append((time.perf_counter(), events))
        self._tail = (self._tail + data)[-1000:]
        if b"data: [DONE]\n\n" in self._tail:
            assert f'"completion_tokens":{ANSWER_TOKENS}'.encode() in self._tail, self._tail
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if b"[DONE]" in self._tail:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(RuntimeError(f"the stream ended early: {self._tail!r}"))

    def gaps(self) -> list[float]:
        """Between tokens; of tokens that came together, each has its share."""
        return [
            (later - earlier) / events
            for (earlier, _), (later, events) in zip(self.stamps, self.stamps[1:], strict=False)
            for _ in range(events)
        ]


def request(prompt: list[int], model: str) -> bytes:
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": ANSWER_TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    payload = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}"
    return head.encode() + b"\r\n\r\n" + payload


async def run_clients(port: int, model: str, clients: int, requests: int) -> None:
    loop = asyncio.get_running_loop()
    todo = [request(prompt, model) for prompt in prompts(clients * requests)]
    streams: list[Stream] = []

    async def one(index: int) -> None:
        for number in range(requests):
            ended = loop.create_future()
            stream = Stream(todo[index * requests + number], ended)
            streams.append(stream)
            await loop.create_connection(lambda mine=stream: mine, "127.0.0.1", port)
            await ended

    began = time.perf_counter()
    await asyncio.gather(*(one(index) for index in range(clients)))
    seconds = time.perf_counter() - began
    firsts = [stream.stamps[0][0] - stream.began for stream in streams]
    print(json.dumps({"seconds": seconds, "firsts": firsts, "gaps": [g for s in streams for g in s.gaps()]}))


if __name__ == "__main__":
    uvloop.run(run_clients(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
