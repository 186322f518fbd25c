"""What the scheduler costs per step, without a model: `python tests/bench/scheduler_step.py`.

Decode steps of full batches (plan and update), the admission of long prompts with and without a warm prefix cache,
and the hash of a prompt. The target of the design is under 1 ms per step at 256 running requests.
"""

import statistics
import time
from collections.abc import Callable

from paddock.engine.core import EngineCore
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.plan import SampledRow, StepPlan, StepResult
from paddock.engine.garbage_collector import settle_garbage_collector
from paddock.engine.kv_cache.block_hash import extend_hashes
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

BLOCK_SIZE = 16
CONTEXT = 16384
STEPS = 400


class InstantExecutor:
    """Answers every row with the same token at once, so that what is measured is the core alone."""

    seconds = 0.0
    num_stages = 1
    alarm = None

    def bytes_per_block(self) -> int:
        return 1

    def available_cache_bytes(self) -> int:
        return 64 * CONTEXT

    def step_bytes(self) -> int:
        return 0

    def swap_blocks(self) -> int:
        return 0

    def held_bytes(self) -> tuple[int, int]:
        return 0, 1

    def initialize_cache(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks

    def submit(self, plan: StepPlan, masks: MaskSource | None = None) -> None:
        start = time.thread_time()
        self.result = StepResult(plan.step, [SampledRow(row.row, 7) for row in plan.scheduled if row.samples])
        self.seconds = time.thread_time() - start

    def collect(self) -> StepResult:
        return self.result

    def check(self) -> None:
        """There is no worker that could be lost."""

    def shutdown(self) -> None:
        self.num_blocks = 0


def make_core(
    max_num_seqs: int, max_num_batched_tokens: int = 8192, prefix_caching: bool = True
) -> EngineCore:
    settings = EngineSettings(
        max_model_len=CONTEXT,
        dtype="float32",
        vocab_size=150_000,
        eos_token_ids=(0,),
        block_size=BLOCK_SIZE,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max(max_num_batched_tokens, max_num_seqs),
        max_waiting=4 * max_num_seqs,
        enable_prefix_caching=prefix_caching,
    )
    return EngineCore(InstantExecutor(), settings)


def add(core: EngineCore, number: int, prompt: list[int], max_tokens: int) -> None:
    sampling = SamplingParams(max_tokens=max_tokens, seed=1)
    assert core.add(AddRequest(str(number), prompt, sampling, float(number))) is None


def step_seconds(core: EngineCore) -> float:
    start = time.thread_time()
    core.step()
    return time.thread_time() - start - core._executor.seconds


def decode_steps(num_running: int, prefix_caching: bool) -> list[float]:
    core = make_core(num_running, prefix_caching=prefix_caching)
    for number in range(num_running):
        add(core, number, [1 + (number * 31 + i) % 149_000 for i in range(20)], 10 * STEPS)
    core.step()
    return [step_seconds(core) for _ in range(STEPS)]


def admission_steps(num_tokens: int, warm: bool) -> list[float]:
    core = make_core(4, max_num_batched_tokens=num_tokens)
    seconds = []
    for number in range(30):
        first = 0 if warm else number * 1000
        add(core, number, [1 + (first + i) % 149_000 for i in range(num_tokens)], 1)
        seconds.append(step_seconds(core))
    return seconds[1:]


def hash_prompt(num_tokens: int) -> list[float]:
    prompt = [(i * 7919) % 149_000 for i in range(num_tokens)]
    return [
        timed(lambda: extend_hashes([], prompt, BLOCK_SIZE, num_tokens // BLOCK_SIZE, ())) for _ in range(30)
    ]


def timed(work: Callable[[], None]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def main() -> None:
    settle_garbage_collector()
    rows = {f"decode step, {n} running": decode_steps(n, True) for n in (1, 16, 64, 256, 1024)}
    rows["decode step, 256 running, no prefix caching"] = decode_steps(256, False)
    rows |= {f"admit a prompt of {n} tokens, cold": admission_steps(n, False) for n in (512, 2048, 8192)}
    rows |= {f"admit a prompt of {n} tokens, cached": admission_steps(n, True) for n in (512, 2048, 8192)}
    rows["hash a prompt of 8192 tokens"] = hash_prompt(8192)
    print(f"{'work of the core, without the model':<46} {'median':>9} {'p99':>9}")
    for name, seconds in rows.items():
        median, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[-1]
        print(f"{name:<46} {median * 1e3:>6.3f} ms {p99 * 1e3:>6.3f} ms")


if __name__ == "__main__":
    main()
