"""What a thread hands over to a loop is called there: all of it, in order, whatever fails."""

import asyncio
import threading

from paddock.operator.handover import Handover


def test_calls_of_another_thread_are_all_made_in_order() -> None:
    made: list[int] = []

    async def take() -> None:
        handover = Handover(asyncio.get_running_loop())
        through = asyncio.Event()

        def ask() -> None:
            for number in range(20_000):
                handover.call(made.append, number)
            handover.call(through.set)

        thread = threading.Thread(target=ask)
        thread.start()
        await through.wait()
        thread.join()

    asyncio.run(take())

    assert made == list(range(20_000))


def test_one_that_fails_keeps_no_other_from_being_made() -> None:
    made: list[str] = []
    failed: list[object] = []

    async def take() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
        handover = Handover(loop)
        handover.call(made.index, "missing")
        handover.call(made.append, "second")
        while not made:
            await asyncio.sleep(0)

    asyncio.run(take())

    assert made == ["second"]
    assert [type(error) for error in failed] == [ValueError]
