"""Two ends of one way between stages; the one that waits is a thread."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from paddock.engine.distributed.stage_memory import HiddenReceiver, HiddenSender, StageLostError

HIDDEN, MOST_TOKENS, SLOTS = 96, 64, 3
SLOT_BYTES = HIDDEN * MOST_TOKENS * 4


@pytest.fixture
def ends():
    both = socket.socketpair()
    yield both
    for end in both:
        end.close()


def received(receiver, tokens, dtype=torch.float32):
    hidden = torch.full((tokens, HIDDEN), float("nan"), dtype=dtype)
    receiver.receive(hidden)
    return hidden


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_step_arrives_as_it_was_sent_whatever_its_size(ends, dtype):
    sizes = [1, MOST_TOKENS, 0, 17, 1, 33, 2] * 60
    steps = [torch.randn(size, HIDDEN).to(dtype) for size in sizes]
    sender, receiver = HiddenSender(ends[0], SLOTS, SLOT_BYTES), HiddenReceiver(ends[1])

    def send():
        for step in steps:
            own = step.clone()
            sender.send(own)
            own.fill_(float("nan"))

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        found = [received(receiver, size, dtype) for size in sizes]
        sent.result(10)

    assert all(torch.equal(a, b) for a, b in zip(found, steps, strict=True))


def test_a_stage_may_be_ahead_by_as_many_steps_as_there_are_slots_and_then_waits(ends):
    sender, receiver = HiddenSender(ends[0], SLOTS, SLOT_BYTES), HiddenReceiver(ends[1])
    for number in range(SLOTS):
        sender.send(torch.full((2, HIDDEN), float(number)))
    with ThreadPoolExecutor(1) as pool:
        one_more = pool.submit(sender.send, torch.full((2, HIDDEN), float(SLOTS)))
        assert not one_more.done()

        found = [received(receiver, 2)[1, 1].item() for _ in range(SLOTS + 1)]

        one_more.result(10)
    assert found == list(range(SLOTS + 1))


def test_who_waits_for_a_stage_that_dies_is_told(ends):
    sender, receiver = HiddenSender(ends[0], 1, SLOT_BYTES), HiddenReceiver(ends[1])
    sender.send(torch.zeros(1, HIDDEN))
    assert received(receiver, 1).eq(0).all()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(received, receiver, 1)
        ends[0].shutdown(socket.SHUT_RDWR)

        with pytest.raises(StageLostError, match="is gone"):
            waiting.result(10)
    with pytest.raises(StageLostError, match="is gone"):
        sender.send(torch.zeros(1, HIDDEN))


def test_a_stage_that_dies_before_it_has_made_its_memory_is_noticed(ends):
    ends[0].close()

    with pytest.raises(StageLostError, match="is gone"):
        received(HiddenReceiver(ends[1]), 1)
