"""The queue's promises, on a clock that only the test moves."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from paddock.operator.workqueue import LONGEST_DELAY, LONGEST_REST, Key, Schedule, WorkQueue

A: Key = ("models", "a")
B: Key = ("models", "b")


def schedule(jitter: float = 1.0) -> Schedule:
    return Schedule(lambda: jitter)


def test_a_key_added_twice_is_worked_on_once() -> None:
    queue = schedule()
    queue.add(A, 0)
    queue.add(A, 0)
    assert queue.take(0) == A
    queue.done(A)
    assert queue.take(0) is None


def test_no_two_workers_get_one_key() -> None:
    queue = schedule()
    queue.add(A, 0)
    assert queue.take(0) == A
    queue.add(A, 0)
    assert queue.take(0) is None
    queue.done(A)
    assert queue.take(0) == A


def test_the_earliest_of_several_wishes_counts() -> None:
    queue = schedule()
    queue.add(A, 600)
    queue.add(A, 5)
    queue.add(A, 60)
    assert queue.next_due() == 5
    assert queue.take(4.9) is None
    assert queue.take(5) == A
    assert len(queue) == 0


def test_the_key_that_waited_longest_comes_first() -> None:
    queue = schedule()
    queue.add(B, 2)
    queue.add(A, 1)
    assert [queue.take(3), queue.take(3)] == [A, B]


def test_failures_back_off_from_one_second_to_five_minutes() -> None:
    queue = schedule()
    delays = [queue.retry(A, 0) for _ in range(12)]
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == LONGEST_DELAY


def test_jitter_spreads_half_of_the_delay() -> None:
    assert schedule(0.0).retry(A, 0) == 0.5
    assert schedule(0.5).retry(A, 0) == 0.75


def test_a_retry_waits_as_long_as_the_server_asked() -> None:
    queue = schedule()
    assert queue.retry(A, 10, at_least=30) == 30
    assert queue.next_due() == 40


def test_success_starts_the_backoff_anew() -> None:
    queue = schedule()
    queue.retry(A, 0)
    queue.retry(A, 0)
    queue.succeeded(A, 0, changed=False)
    assert queue.retry(A, 0) == 1


def test_changing_something_each_time_slows_a_key_down_whatever_wakes_it() -> None:
    queue, now, passes = schedule(), 0.0, 0
    while now < 600:
        queue.add(A, now)
        due = queue.next_due()
        assert due is not None
        now = max(now, due)
        assert queue.take(now) == A
        queue.succeeded(A, now, changed=True)
        queue.done(A)
        passes += 1
    assert passes < 25
    assert queue.next_due() is None or LONGEST_REST == 60
    queue.succeeded(A, now, changed=False)
    queue.add(A, now)
    assert queue.next_due() == now


def test_a_gone_key_leaves_nothing_behind_but_a_later_wish() -> None:
    queue = schedule()
    queue.retry(A, 0)
    assert queue.take(1) == A
    queue.add(A, 3)
    queue.forget(A)
    queue.done(A)
    assert queue.take(3) == A
    assert queue.retry(A, 3) == 1


def test_only_keys_that_a_worker_could_take_now_count_as_waiting() -> None:
    queue = schedule()
    queue.add(A, 5)
    queue.add(B, 600)
    assert (queue.waiting(4), queue.waiting(5)) == (0, 1)
    assert queue.take(5) == A
    queue.add(A, 5)
    assert queue.waiting(5) == 0


def test_the_oldest_wait_counts_overdue_keys_only() -> None:
    queue = schedule()
    assert queue.oldest_wait(5) == 0
    queue.add(A, 10)
    assert queue.oldest_wait(5) == 0
    assert queue.oldest_wait(25) == 15


def test_a_waiting_worker_wakes_for_a_new_key() -> None:
    async def scene() -> Key:
        queue = WorkQueue()
        worker = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.add(A)
        return await asyncio.wait_for(worker, 5)

    assert asyncio.run(scene()) == A


def test_a_key_that_comes_due_wakes_a_waiting_worker() -> None:
    async def scene() -> Key:
        queue = WorkQueue()
        queue.add(A, 0.01)
        return await asyncio.wait_for(queue.take(), 5)

    assert asyncio.run(scene()) == A


class AnyUse(RuleBasedStateMachine):
    """Whatever is called in whatever order: one worker per key, and nothing wanted is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = schedule()
        self.now = 0.0
        self.working: set[Key] = set()
        self.wanted: set[Key] = set()

    @rule(key=st.sampled_from([A, B]), delay=st.floats(0, 100))
    def add(self, key: Key, delay: float) -> None:
        self.schedule.add(key, self.now + delay)
        self.wanted.add(key)

    @rule()
    def take(self) -> None:
        key = self.schedule.take(self.now)
        if key is not None:
            assert key not in self.working
            assert key in self.wanted
            self.working.add(key)
            self.wanted.discard(key)

    @rule(failed=st.booleans(), changed=st.booleans())
    def finish(self, failed: bool, changed: bool) -> None:
        if self.working:
            key = self.working.pop()
            if failed:
                self.schedule.retry(key, self.now)
                self.wanted.add(key)
            else:
                self.schedule.succeeded(key, self.now, changed)
            self.schedule.done(key)

    @rule(seconds=st.floats(0, 1000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def every_wanted_key_is_scheduled(self) -> None:
        assert len(self.schedule) == len(self.wanted)
        if self.wanted - self.working:
            assert self.schedule.next_due() is not None


AnyUse.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestAnyUse = AnyUse.TestCase
