"""The worker alone, driven by plans made by hand: the judge is transformers in float32."""

import pytest
import torch

from paddock.engine.executor.plan import NewRow, ScheduledRow
from paddock.engine.sampling.params import SamplingParams

BLOCK = 8
PROMPT = [(17 * i * i + 5 * i + 3) % 211 for i in range(41)]


@pytest.mark.parametrize("chunk", [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 1000])
def test_chunks_of_any_size_give_the_tokens_of_generate(checkpoint, drive, chunk):
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)

    tokens, _ = driver.generate(PROMPT, SamplingParams(max_tokens=12, temperature=0), chunk)

    assert tokens == checkpoint.continuation(PROMPT, 12)


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1, 3 * BLOCK + 1])
def test_prompts_around_block_borders_give_the_tokens_of_generate(checkpoint_of, drive, length):
    checkpoint = checkpoint_of("qwen3")
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)

    tokens, _ = driver.generate(PROMPT[:length], SamplingParams(max_tokens=10, temperature=0), 1000)

    assert tokens == checkpoint.continuation(PROMPT[:length], 10)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_prompt_logprobs_are_those_of_the_oracle(checkpoint, drive, chunk):
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)
    expected = checkpoint.logits(PROMPT).log_softmax(-1)

    _, results = driver.generate(
        PROMPT, SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=3), chunk
    )

    entries = [entry for result in results for entry in result.prompt_logprobs]
    positions = {e.first_token + i: p for e in entries for i, p in enumerate(e.positions)}
    assert sorted(positions) == list(range(1, len(PROMPT)))
    for index, (own, *top) in positions.items():
        row = expected[index - 1]
        assert own.token_id == PROMPT[index]
        assert own.logprob == pytest.approx(row[PROMPT[index]].item(), abs=1e-4)
        assert own.rank == int((row > row[PROMPT[index]]).sum()) + 1
        assert [t.token_id for t in top] == row.topk(3).indices.tolist()
        assert [t.rank for t in top] == [1, 2, 3]


def test_logprobs_of_generated_tokens_are_those_of_the_oracle(checkpoint, drive):
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)

    # Temperature and penalty change what is drawn and not what is reported: the model's own distribution.
    sampling = SamplingParams(max_tokens=8, temperature=1.5, frequency_penalty=0.7, seed=3, logprobs=-1)
    tokens, results = driver.generate(PROMPT, sampling, 16)

    rows = checkpoint.logits(PROMPT + tokens).log_softmax(-1)[len(PROMPT) - 1 :]
    for row, token, result in zip(rows, tokens, [r for r in results if r.sampled], strict=False):
        own, *top = result.sampled[0].logprobs
        assert own.token_id == token
        assert own.logprob == pytest.approx(row[token].item(), abs=1e-4)
        reported = torch.tensor([t.logprob for t in sorted(top, key=lambda t: t.token_id)])
        torch.testing.assert_close(reported, row, atol=1e-4, rtol=0)


def test_a_row_is_clean_for_its_next_request(checkpoint_of, drive):
    checkpoint = checkpoint_of("llama")
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)
    driver.generate(PROMPT, SamplingParams(max_tokens=9, seed=5, frequency_penalty=2, min_tokens=4), 9)

    tokens, _ = driver.generate(PROMPT[3:20], SamplingParams(max_tokens=9, temperature=0), 1000)

    assert tokens == checkpoint.continuation(PROMPT[3:20], 9)


def test_results_come_in_plan_order_whatever_order_the_batch_takes(checkpoint_of, drive):
    checkpoint = checkpoint_of("qwen2")
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)
    greedy = SamplingParams(max_tokens=4, temperature=0)
    prompts = {4: PROMPT[:20], 0: PROMPT[5:6], 2: PROMPT[8:25]}
    expected = {row: checkpoint.continuation(prompt, 1)[0] for row, prompt in prompts.items()}

    result = driver.plan(
        [NewRow(row, str(row), prompt, len(prompt), greedy) for row, prompt in prompts.items()],
        [
            ScheduledRow(row, 0, len(prompt), [10 * row, 10 * row + 1, 10 * row + 2], row != 2)
            for row, prompt in prompts.items()
        ],
    )

    assert [(s.row, s.token_id) for s in result.sampled] == [(4, expected[4]), (0, expected[0])]


def test_a_plan_without_work_gives_an_empty_result(checkpoint_of, drive):
    checkpoint = checkpoint_of("llama")
    driver = drive(checkpoint.executor(checkpoint.settings(block_size=BLOCK)), BLOCK)

    result = driver.plan([], [], freed=[3])

    assert (result.step, result.sampled, result.prompt_logprobs) == (1, [], [])


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_bfloat16_stays_near_the_float32_oracle(checkpoint_of, drive, name):
    checkpoint = checkpoint_of(name)
    settings = checkpoint.settings(block_size=BLOCK, dtype="bfloat16")
    expected = checkpoint.logits(PROMPT).log_softmax(-1)

    _, results = drive(checkpoint.executor(settings), BLOCK).generate(
        PROMPT, SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0), 16
    )

    reported = [p[0].logprob for r in results for e in r.prompt_logprobs for p in e.positions]
    wanted = expected[:-1].gather(1, torch.tensor(PROMPT[1:])[:, None]).squeeze(1)
    # bfloat16 keeps 8 bits: logits of size 20 through three layers are off by tenths.
    assert (torch.tensor(reported) - wanted).abs().median() < 0.3
