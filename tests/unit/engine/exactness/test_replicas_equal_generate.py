"""Replicas that share their experts: the judge is transformers in float32, wherever the requests arrive."""

import contextlib
import os
import queue
import select
import threading
from contextlib import ExitStack

import pytest
import torch

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.data_parallel.lockstep import Lockstep
from paddock.engine.data_parallel.replica_tie import opened_tie
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.executor.choice import make_executor
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams

pytestmark = pytest.mark.timeout(240)

GREEDY = SamplingParams(max_tokens=14, temperature=0)
ENDLESS = SamplingParams(max_tokens=150, temperature=0)
FAMILIES = [
    "mixtral",
    "qwen3-moe",
    "deepseek-v3",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("deepseek-v2", "gpt-oss", "gpt-oss-mxfp4")),
]


class Replica(threading.Thread):
    """An engine that steps when it has work or another has, and sleeps otherwise, as in a process of its own."""

    def __init__(self, core):
        super().__init__(daemon=True)
        self.core, self.orders, self.rung = core, queue.SimpleQueue(), os.eventfd(0, os.EFD_NONBLOCK)
        self.outputs, self.is_asleep = queue.SimpleQueue(), threading.Event()
        self.start()

    def tell(self, order):
        self.orders.put(order)
        os.eventfd_write(self.rung, 1)

    def run(self):
        # Of a thread of its own, as the engine's process has it.
        torch.set_num_threads(1)
        try:
            while self._obey():
                for output in self.core.step().get(b"", []) if self.core.has_work else ():
                    self.outputs.put(output)
        except Exception as error:  # noqa: BLE001 told by `answers`
            self.outputs.put(error)

    def _obey(self):
        """Sleeps while there is nothing to do; False for the order to end."""
        if not self.core.has_work and self.orders.empty():
            self.is_asleep.set()
            select.select([self.core.bell, self.rung], [], [])
            self.is_asleep.clear()
            self.core.hear()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.rung)
        while not self.orders.empty():
            order = self.orders.get()
            if order is None:
                return False
            order(self.core)
        return True

    def ask(self, prompts, sampling=GREEDY):
        for number, prompt in prompts.items():
            request = AddRequest(str(number), list(prompt), sampling, 0.0)
            self.tell(lambda core, request=request: core.add(request))

    def answers(self, prompts):
        """By number, once all of them have ended."""
        tokens, unfinished = {number: [] for number in prompts}, set(prompts)
        while unfinished:
            output = self.outputs.get(timeout=60)
            if isinstance(output, Exception):
                raise output
            tokens[int(output.request_id)] += output.new_token_ids
            unfinished -= {int(output.request_id)} if output.finish_reason else set()
        return tokens


class Group:
    """Two replicas over one checkpoint."""

    def __init__(self, checkpoint, monkeypatch, settings=None, **parallel):
        self.checkpoint, self.opened = checkpoint, ExitStack()
        sizes = {"data_parallel_size": 2, "enable_expert_parallel": True}
        config = ServeConfig.model_validate({"parallel": sizes | parallel})
        chosen = checkpoint.settings(**settings or {})
        tie = self.opened.enter_context(opened_tie(config))
        cores = []
        for index in range(2):
            for name, value in NodeShare(index, 2, tie).as_environ().items():
                monkeypatch.setenv(name, value)
            executor = make_executor(chosen, config, checkpoint.shape(), checkpoint.path)
            cores.append(EngineCore(executor, chosen, None, Lockstep(tie, index)))
        self.first, self.second = (Replica(core) for core in cores)

    def close(self):
        for replica in (self.first, self.second):
            replica.tell(None)
            replica.join(60)
            replica.core.shutdown()
        self.opened.close()

    def steps(self):
        return [list(replica.core._lockstep._begun) for replica in (self.first, self.second)]


@pytest.fixture
def group(monkeypatch):
    made = []

    def start(*args, **parallel):
        made.append(Group(*args, monkeypatch, **parallel))
        return made[-1]

    yield start
    for each in made:
        each.close()


def check(group, prompts, at_first):
    """`at_first` says which of the prompts, by number, arrive at the first replica."""
    numbered = dict(enumerate(prompts))
    here = {number: prompt for number, prompt in numbered.items() if number in at_first}
    there = {number: prompt for number, prompt in numbered.items() if number not in at_first}
    group.first.ask(here)
    group.second.ask(there)
    answers = group.first.answers(here) | group.second.answers(there)
    assert answers == {n: group.checkpoint.continuation(prompt, 14) for n, prompt in numbered.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_requests_at_one_replica_and_at_both_give_the_tokens_of_generate(
    family, checkpoint_of, prompts, group
):
    made = group(checkpoint_of(family))

    check(made, prompts[:4], at_first=range(4))
    check(made, prompts[4:8], at_first=())
    check(made, prompts[8:16], at_first=range(3))

    for replica in (made.first, made.second):
        assert replica.is_asleep.wait(10)
    [steps, same] = made.steps()
    assert steps[0] == steps[1] > 0
    assert steps == same


def test_each_replica_holds_its_experts_alone(checkpoint_of, group):
    checkpoint = checkpoint_of("deepseek-v3")
    made = group(checkpoint)
    alone = checkpoint.executor(checkpoint.settings()).held_bytes()[0]
    fields = checkpoint.shape().fields
    experts = fields.count("n_routed_experts") * (
        checkpoint.shape().num_layers - fields.count("first_k_dense_replace")
    )
    of_experts = experts * 3 * fields.count("moe_intermediate_size") * checkpoint.shape().hidden_size * 4

    held = [replica.core.held_bytes()[0] for replica in (made.first, made.second)]

    assert held == [alone - of_experts // 2] * 2


def test_requests_that_are_aborted_half_way_do_not_touch_those_of_the_other_replica(
    checkpoint_of, prompts, group
):
    made = group(checkpoint_of("mixtral"))
    gone = {100 + number: prompt for number, prompt in enumerate(prompts[20:24])}
    made.first.ask(gone, ENDLESS)
    kept = dict(enumerate(prompts[:6]))
    made.second.ask(kept)
    made.first.outputs.get(timeout=60)
    made.first.tell(lambda core: core.abort([str(number) for number in gone]))

    assert made.second.answers(kept) == {n: made.checkpoint.continuation(p, 14) for n, p in kept.items()}
    assert made.first.is_asleep.wait(10)
    made.first.tell(lambda core: core.check_integrity())


def test_planning_ahead_short_chunks_and_experts_in_turn_give_the_tokens_of_generate(
    checkpoint_of, prompts, group
):
    changes = {"async_scheduling": True, "max_num_batched_tokens": 23, "max_num_seqs": 10}

    made = group(checkpoint_of("qwen3-moe"), settings=changes, expert_placement_strategy="round_robin")

    check(made, prompts[:12], at_first=range(3))


@pytest.mark.long
@pytest.mark.parametrize("family", ["mixtral", "qwen3-moe", "deepseek-v3"])
@pytest.mark.parametrize("split", ["tensor_parallel_size", "pipeline_parallel_size"])
def test_replicas_of_two_ranks_give_the_tokens_of_generate(family, split, checkpoint_of, prompts, group):
    made = group(checkpoint_of(family), **{split: 2})

    check(made, prompts[:6], at_first=range(6))
    check(made, prompts[:16], at_first=range(9))
