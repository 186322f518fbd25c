"""The samples that each data set makes, with the tiny model's tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
from serving import TINY_MODEL

from paddock.server.bench.dataset import Workload
from paddock.server.bench.errors import BenchError
from paddock.server.bench.lengths import Lengths
from paddock.server.bench.sample import Sample
from paddock.server.bench.tokens import LocalTokens


@pytest.fixture(scope="module")
def tokens() -> LocalTokens:
    return LocalTokens.load(str(TINY_MODEL))


def made(
    tokens: LocalTokens, name: str, file: Path | None = None, count: int = 4, **more: Any
) -> list[Sample]:
    lengths = Lengths(**more.pop("lengths", {}))
    return Workload(name, None if file is None else str(file), count, lengths, **more).samples(tokens)


def written(folder: Path, *records: Any) -> Path:
    file = folder / "data.jsonl"
    file.write_text("\n".join(json.dumps(record) for record in records))
    return file


def talk(question: str, answer: str) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}


def test_random_prompts_have_the_lengths_asked_for_and_differ(tokens: LocalTokens) -> None:
    samples = made(tokens, "random", lengths={"random_input": 20, "random_output": 7, "random_prefix": 3})
    prompts = [sample.token_ids or [] for sample in samples]
    assert [len(prompt) for prompt in prompts] == [23] * 4
    assert len({tuple(prompt[:3]) for prompt in prompts}) == 1
    assert len({tuple(prompt) for prompt in prompts}) == 4
    assert {sample.output_len for sample in samples} == {7}


def test_a_seed_repeats_a_data_set_and_another_one_changes_it(tokens: LocalTokens) -> None:
    lengths = {"random_input": 20}
    assert made(tokens, "random", lengths=lengths, seed=3) == made(tokens, "random", lengths=lengths, seed=3)
    assert made(tokens, "random", lengths=lengths, seed=3) != made(tokens, "random", lengths=lengths, seed=4)


def test_a_range_ratio_varies_lengths_within_its_bounds(tokens: LocalTokens) -> None:
    lengths = {"random_input": 100, "random_output": 10, "random_range_ratio": 0.5}
    samples = made(tokens, "random", count=50, lengths=lengths)
    sizes = {len(sample.token_ids or []) for sample in samples}
    assert len(sizes) > 5
    assert min(sizes) >= 50
    assert max(sizes) <= 150


def test_repeated_prefixes_are_shared_and_suffixes_are_not(tokens: LocalTokens) -> None:
    lengths = {"repeated_prefix": 10, "repeated_suffix": 5, "num_prefixes": 3}
    prompts = [
        sample.token_ids or [] for sample in made(tokens, "prefix_repetition", count=9, lengths=lengths)
    ]
    assert len({tuple(prompt[:10]) for prompt in prompts}) == 3
    assert len({tuple(prompt) for prompt in prompts}) == 9


def test_sharegpt_takes_the_length_of_the_recorded_answer(tokens: LocalTokens, tmp_path: Path) -> None:
    answer = "A pod is the smallest unit that Kubernetes runs."
    file = written(
        tmp_path, talk("What is a pod in Kubernetes?", answer), talk("Hi", "x"), {"conversations": []}
    )
    samples = made(tokens, "sharegpt", file, count=1)
    assert samples == [Sample(len(tokens.encode(answer)), text="What is a pod in Kubernetes?")]
    [fixed] = made(tokens, "sharegpt", file, count=1, lengths={"sharegpt_output": 9})
    assert fixed.output_len == 9


def test_a_small_data_set_is_repeated_unless_told_otherwise(tokens: LocalTokens, tmp_path: Path) -> None:
    file = written(tmp_path, {"prompt": "one"}, {"prompt": "two"})
    assert len(made(tokens, "custom", file, count=5)) == 5
    in_order = made(tokens, "custom", file, count=5, oversample=False, shuffle=False)
    assert [sample.text for sample in in_order] == ["one", "two"]


def test_a_chat_template_turns_texts_into_the_tokens_of_a_chat(tokens: LocalTokens, tmp_path: Path) -> None:
    [sample] = made(tokens, "custom", written(tmp_path, {"prompt": "one"}), count=1, chat_template=True)
    assert sample.token_ids is not None
    assert len(sample.token_ids) > len(tokens.encode("one"))


def test_spec_bench_takes_the_first_turn_of_a_category(tokens: LocalTokens, tmp_path: Path) -> None:
    file = written(tmp_path, {"category": "a", "turns": ["x", "y"]}, {"category": "b", "turns": ["z"]})
    assert {sample.text for sample in made(tokens, "spec_bench", file, category="b")} == {"z"}


def test_burstgpt_takes_the_lengths_of_answered_requests(tokens: LocalTokens, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("Timestamp,Request tokens,Response tokens\n5,12,3\n6,99,0\n")
    [sample] = made(tokens, "burstgpt", file, count=1)
    assert (len(sample.token_ids or []), sample.output_len) == (12, 3)


def test_sonnet_prompts_share_a_beginning_and_fit_their_length(tokens: LocalTokens, tmp_path: Path) -> None:
    file = tmp_path / "poem.txt"
    file.write_text("\n".join(f"line {number} of a poem" for number in range(40)))
    lengths = {"sonnet_input": 120, "sonnet_prefix": 40, "sonnet_output": 5}
    texts = [sample.text or "" for sample in made(tokens, "sonnet", file, lengths=lengths)]
    assert len(set(texts)) == 4
    assert len({text[:40] for text in texts}) == 1
    assert all(60 < len(tokens.encode(text)) <= 125 for text in texts)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("custom", '{"prompt": 5}', "record 1 has no text 'prompt'"),
        ("custom", "{", "is neither a JSON list nor JSON Lines"),
        ("custom", "", "no prompt in it can be used"),
        ("spec_bench", "{}", "record 1 has no turns"),
        ("sharegpt", '{"a": 1}', "no prompt in it can be used"),
        ("burstgpt", "a,b\n1,2\n", "needs the columns Request tokens and Response tokens"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tokens: LocalTokens, tmp_path: Path, name: str, text: str, problem: str
) -> None:
    file = tmp_path / "data"
    file.write_text(text)
    with pytest.raises(BenchError, match=problem) as caught:
        made(tokens, name, file)
    assert str(file) in str(caught.value)


def test_a_data_set_without_its_file_says_so(tokens: LocalTokens) -> None:
    with pytest.raises(BenchError, match="--dataset-name sharegpt needs a file: name it with --dataset-path"):
        made(tokens, "sharegpt")
