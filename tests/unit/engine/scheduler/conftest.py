"""A scheduler with requests in its queue."""

from collections.abc import Callable

import pytest

from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.scheduler.request import Request
from paddock.engine.scheduler.scheduler import Scheduler
from paddock.engine.settings import EngineSettings


def request(scheduler: Scheduler, name: str, age: int, num_prompt_tokens: int) -> Request:
    return Request(
        client=b"",
        request_id=name,
        token_ids=[age] * num_prompt_tokens,
        num_prompt_tokens=num_prompt_tokens,
        sampling=SamplingParams(max_tokens=1),
        table=scheduler.cache.new_table(),
        rank=(age,),
        max_length=num_prompt_tokens + 1,
        eos_token_ids=frozenset(),
        ending_token_ids=frozenset(),
    )


@pytest.fixture
def scheduler_of() -> Callable[..., Scheduler]:
    """scheduler_of({name: length of the prompt}, limits...): they have arrived in this order, and want one token."""

    def make(prompts: dict[str, int], **limits: int) -> Scheduler:
        settings = EngineSettings(
            max_model_len=1000,
            dtype="float32",
            vocab_size=100,
            eos_token_ids=(),
            block_size=4,
            max_num_seqs=8,
            max_waiting=100,
            **{"max_num_batched_tokens": 16, **limits},
        )
        scheduler = Scheduler(KVCache(300, 4, prefix_caching=True), settings, 1)
        for age, (name, length) in enumerate(prompts.items()):
            scheduler.add(request(scheduler, name, age, length))
        return scheduler

    return make
