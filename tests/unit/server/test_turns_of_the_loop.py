"""What one turn of the event loop does when much comes at once."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from http_thread import HttpThread, all_from
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from paddock.engine.config.variables import by_name
from paddock.engine.messages import EngineStats, RequestOutput, StepOutputs
from paddock.server.startup import outputs_per_turn
from paddock.server.step_feed import ENDING_WEIGHT, StepFeed
from paddock.server.turnstile import MOST_PUT_OFF, Turnstile

STATS = EngineStats(0, 0, 0.0, 0, 0, 0, 0, 0)
BURST = 20


def asking(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode()


def turns_of(feeding: Callable[[StepFeed], None], chunk: int) -> list[list[str]]:
    """What was handed out at each turn, from the one that fed on; ends of steps are `.`."""
    turns: list[list[str]] = [[]]

    async def run() -> None:
        def begin_next() -> None:
            turns.append([])
            if len(turns) < 100:
                asyncio.get_running_loop().call_soon(begin_next)

        feed = StepFeed(
            lambda output, now: turns[-1].append(output.request_id), lambda _: turns[-1].append("."), chunk
        )
        asyncio.get_running_loop().call_soon(begin_next)
        feeding(feed)
        while len(turns) < 100:
            await asyncio.sleep(0)

    asyncio.run(run())
    return turns


def step(*names: str) -> StepOutputs:
    return StepOutputs([RequestOutput(name, [1]) for name in names], STATS)


@given(st.lists(st.integers(0, 9), max_size=5), st.integers(1, 4))
def test_outputs_keep_their_order_and_no_turn_hands_out_more_than_its_chunk(
    sizes: list[int], chunk: int
) -> None:
    steps = [[f"{number}-{index}" for index in range(size)] for number, size in enumerate(sizes)]

    def feed(to: StepFeed) -> None:
        for names in steps:
            to.put(step(*names), 0.0)

    turns = turns_of(feed, chunk)
    assert [each for turn in turns for each in turn] == [each for names in steps for each in (*names, ".")]
    assert max(sum(name != "." for name in turn) for turn in turns) <= chunk


def test_a_turn_hands_out_fewer_of_those_that_end_their_sequences() -> None:
    names = [str(number) for number in range(6)]

    def feed(to: StepFeed) -> None:
        to.put(StepOutputs([RequestOutput(name, [1], finish_reason="stop") for name in names], STATS), 0.0)
        to.put(step(*names), 0.0)

    turns = [turn for turn in turns_of(feed, chunk=2 * ENDING_WEIGHT) if turn]
    assert turns == [["0", "1"], ["2", "3"], ["4", "5"], ["."], [*names, "."]]


def test_a_flush_hands_out_everything() -> None:
    def feed(to: StepFeed) -> None:
        to.put(step(*"abcdefg"), 0.0)
        to.put(step("h"), 0.0)
        to.flush()

    assert turns_of(feed, chunk=2)[0] == [*"abcdefg", ".", "h", "."]


def test_the_environment_says_how_many_outputs_a_turn_hands_out() -> None:
    assert outputs_per_turn({"PADDOCK_V1_OUTPUT_PROC_CHUNK_SIZE": "5"}) == 5
    assert outputs_per_turn({}) == by_name()["PADDOCK_V1_OUTPUT_PROC_CHUNK_SIZE"].default


@pytest.mark.parametrize(
    ("turns_with_news", "begun_at"),
    [(0, [0, 1]), (1, [1, 2]), (MOST_PUT_OFF + 9, [MOST_PUT_OFF, 2 * MOST_PUT_OFF + 1])],
)
def test_while_the_sockets_bring_news_what_takes_long_begins_at_some_turns_only(
    turns_with_news: int, begun_at: list[int]
) -> None:
    begun: list[int] = []

    async def run() -> None:
        turnstile = Turnstile()
        turn = 0
        for _ in begun_at:
            turnstile.enter(lambda: begun.append(turn))
        while len(begun) < len(begun_at):
            if turn < turns_with_news:
                turnstile.tell_of_news()
            await asyncio.sleep(0)
            turn += 1

    asyncio.run(run())
    assert begun == begun_at


def test_a_probe_overtakes_a_burst_of_new_connections_with_work() -> None:
    begun: list[str] = []
    is_held, may_go_on = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        if scope["path"] == "/hold":  # the whole loop
            is_held.set()
            may_go_on.wait(20)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    with HttpThread(app) as server:
        callers = [server.connect()]
        callers[0].sendall(asking("GET", "/hold"))
        assert is_held.wait(20)
        for method, path in [*[("POST", "/work")] * BURST, ("GET", "/health")]:
            callers.append(server.connect())
            callers[-1].sendall(asking(method, path))
        may_go_on.set()
        for caller in callers:
            with caller:
                assert b" 200 " in all_from(caller)
    assert begun.index("/health") < BURST / 2
