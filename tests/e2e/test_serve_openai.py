"""A real server with the tiny model, asked with the official client."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serving import TINY_MODEL, Serve
from waiting import until

ASK: Any = [{"role": "user", "content": "What is a pod?"}]


INSPECTION = """
import time

class Inspection:
    def weights(self, unit, *, scale=1):
        return {unit: self.weight_bytes * scale}

    def lingers(self, seconds):
        time.sleep(seconds)

    def fails(self):
        raise RuntimeError("out of luck")
"""


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    folder: Path = tmp_path_factory.mktemp("serve")
    (folder / "inspection.py").write_text(INSPECTION)
    flags = ["--served-model-name", "tiny", "alias", "--enable-log-requests", "--enable-log-outputs"]
    flags += ["--max-log-len", "256", "--enable-prompt-tokens-details", "--enable-request-id-headers"]
    flags += ["--enable-sleep-mode", "--worker-extension-cls", "inspection.Inspection"]
    environ = {"PADDOCK_SERVER_DEV_MODE": "1", "PYTHONPATH": str(folder)}
    with Serve(folder / "log", *flags, environ=environ) as serve:
        yield serve


@pytest.fixture
def client(serve: Serve) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=serve.url + "/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def text_of(stream: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_a_stream_joins_to_the_whole_greedy_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tiny", messages=ASK, temperature=0, max_tokens=40)
    stream = client.chat.completions.create(
        model="tiny", messages=ASK, temperature=0, max_tokens=40, stream=True
    )
    assert text_of(stream) == whole.choices[0].message.content != ""


def test_the_answer_is_that_of_transformers(client: openai.OpenAI) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL)
    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        ASK, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    tokens = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    answer = client.chat.completions.create(model="tiny", messages=ASK, temperature=0, max_tokens=40)
    assert answer.choices[0].message.content == tokenizer.decode(tokens, skip_special_tokens=True)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == prompt["input_ids"].shape[1]


def test_the_usage_chunk_is_last_and_without_choices(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(
        model="alias", messages=ASK, max_tokens=5, stream=True, stream_options=options
    )
    chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert 0 < chunks[-1].usage.completion_tokens <= 5
    assert {chunk.model for chunk in chunks} == {"alias"}


def test_equal_seeds_give_equal_choices_and_choices_differ(client: openai.OpenAI) -> None:
    def ask() -> list[str | None]:
        answer = client.chat.completions.create(
            model="tiny", messages=ASK, n=4, seed=11, temperature=1.5, max_tokens=12
        )
        return [choice.message.content for choice in answer.choices]

    first = ask()
    assert first == ask()
    assert len(set(first)) > 1


def test_best_of_shows_the_likeliest_of_what_the_same_seed_generates(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "prompt": "The capital", "max_tokens": 8, "temperature": 1.0, "seed": 5}
    every = client.completions.create(n=5, logprobs=0, **asked).choices
    means = {each.text: sum(each.logprobs.token_logprobs) / len(each.logprobs.tokens) for each in every}  # type: ignore[union-attr, arg-type, misc]
    best = client.completions.create(n=2, best_of=5, **asked).choices
    assert [each.text for each in best] == sorted(means, key=lambda text: -means[text])[:2]


def test_a_stop_string_across_chunks_is_cut_out(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="tiny", prompt="A pod is", temperature=0, max_tokens=24)
    text = whole.choices[0].text
    stop = text[len(text) // 2 - 2 : len(text) // 2 + 3]
    stream = client.completions.create(
        model="tiny", prompt="A pod is", temperature=0, max_tokens=24, stop=[stop], stream=True
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == text[: text.index(stop)]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_logprobs_are_of_the_tokens_shown(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=ASK, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    for entry in logprobs.content:
        best = entry.top_logprobs[0]
        assert (entry.token, entry.logprob) == (best.token, best.logprob)
        assert len(entry.top_logprobs) == 3
        assert -50 < entry.logprob <= 0
    shown = b"".join(bytes(entry.bytes or []) for entry in logprobs.content).decode()
    assert shown.startswith(answer.choices[0].message.content or "")


def test_echo_scores_the_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="A pod is", echo=True, logprobs=1, max_tokens=0)
    choice = answer.choices[0]
    assert choice.text == "A pod is"
    assert choice.logprobs is not None
    assert choice.logprobs.token_logprobs is not None
    assert choice.logprobs.token_logprobs[0] is None
    assert all(value < 0 for value in choice.logprobs.token_logprobs[1:])


def test_many_async_streams_at_once_give_what_each_gives_alone(serve: Serve) -> None:
    questions = [f"What is {number} + {number}?" for number in range(24)]

    async def ask(client: openai.AsyncOpenAI, question: str) -> str:
        stream = await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": question}],
            temperature=0, max_tokens=16, stream=True,
        )  # fmt: skip
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def main() -> tuple[list[str], list[str]]:
        async with openai.AsyncOpenAI(base_url=serve.url + "/v1", api_key="none", max_retries=0) as client:
            together = await asyncio.gather(*(ask(client, question) for question in questions))
            alone = [await ask(client, question) for question in questions]
        return list(together), alone

    together, alone = asyncio.run(main())
    assert together == alone


LONG: dict[str, Any] = {"model": "tiny", "prompt": "once", "max_tokens": 1900, "ignore_eos": True, "n": 2}


def all_blocks_are_free(serve: Serve) -> None:
    running = "vllm:num_requests_running"
    until(lambda: serve.metric(running) == 0, seconds=20, what="no request to run", every=0.05)
    assert serve.metric("vllm:kv_cache_usage_perc") == 0


def test_a_client_that_leaves_its_stream_frees_its_blocks(serve: Serve) -> None:
    before = serve.metric("vllm:generation_tokens_total")
    with httpx.stream(
        "POST", serve.url + "/v1/completions", json={**LONG, "stream": True}, timeout=60
    ) as reply:
        next(reply.iter_lines())
    all_blocks_are_free(serve)
    assert serve.metric("vllm:generation_tokens_total") - before < 2 * 1900


def test_a_client_that_gives_up_waiting_frees_its_blocks(serve: Serve) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(serve.url + "/v1/completions", json=LONG, timeout=0.3)
    all_blocks_are_free(serve)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": "other"}, 404),
        ({"messages": []}, 400),
        ({"messages": [{"role": "user", "content": "word " * 4000}]}, 400),
        ({"max_tokens": 10**6}, 400),
        ({"temperature": 3}, 400),
        ({"logit_bias": {"99999999": 1}}, 400),
        ({"stop_token_ids": [10**9]}, 400),
        ({"top_logprobs": 5}, 400),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400),
        ({"unknown": 1}, 400),
    ],
)
def test_bad_input_is_the_clients_exception_and_disturbs_nobody(
    client: openai.OpenAI, fields: dict[str, Any], status: int
) -> None:
    beside = client.chat.completions.create(model="tiny", messages=ASK, max_tokens=30, stream=True)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="tiny", messages=ASK, extra_body=fields)
    assert caught.value.status_code == status
    assert caught.value.request_id
    assert text_of(beside)


def test_requests_are_logged_with_a_clipped_prompt(serve: Serve, client: openai.OpenAI) -> None:
    client.completions.create(
        model="tiny", prompt="x" * 1000, max_tokens=1, extra_headers={"x-request-id": "trace-me"}
    )
    line = next(line for line in serve.log.read_text().splitlines() if "trace-me" in line)
    assert "x" * 256 + "'…" in line
    assert "x" * 257 not in line


def test_answers_are_logged_with_the_callers_id(serve: Serve, client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="tiny", prompt="A pod is", max_tokens=4, extra_headers={"x-request-id": "follow-me"}
    )

    def line() -> str:
        return next((line for line in serve.log.read_text().splitlines() if "answer follow-me" in line), "")

    assert repr(answer.choices[0].text) in until(line, seconds=10, what="the answer's log line", every=0.05)
    assert answer._request_id == "follow-me"


def test_beams_are_those_of_transformers(client: openai.OpenAI) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL)
    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32)
    prompt = tokenizer("A pod is", return_tensors="pt")
    for length_penalty, early in ((1.0, False), (2.0, True), (0.0, False)):
        beams = model.generate(
            **prompt, max_new_tokens=20, do_sample=False, num_beams=4, num_return_sequences=4,
            length_penalty=length_penalty, early_stopping=early,
        )[:, prompt["input_ids"].shape[1] :]  # fmt: skip
        fields = {"use_beam_search": True, "length_penalty": length_penalty, "early_stopping": early}
        answer = client.completions.create(
            model="tiny", prompt="A pod is", n=4, max_tokens=20, extra_body=fields
        )
        expected = tokenizer.batch_decode(beams, skip_special_tokens=True)
        assert [choice.text for choice in answer.choices] == expected


def test_token_rules_hold_for_every_token(client: openai.OpenAI) -> None:
    def ask(**fields: Any) -> str:
        answer = client.completions.create(
            model="tiny", prompt="A pod is", temperature=0, max_tokens=16, extra_body=fields
        )
        return answer.choices[0].text

    free = ask()
    word = free.split()[1]
    assert word in free
    assert f" {word}" not in ask(bad_words=[word])
    allowed = {260, 261, 262}
    answer = client.completions.create(
        model="tiny", prompt="A pod is", temperature=1, max_tokens=16,
        extra_body={"allowed_token_ids": sorted(allowed), "return_token_ids": True},
    )  # fmt: skip
    assert answer.choices[0].model_extra is not None
    assert set(answer.choices[0].model_extra["token_ids"]) <= allowed


def test_cached_tokens_are_counted_until_the_cache_is_reset(serve: Serve, client: openai.OpenAI) -> None:
    def cached(salt: str) -> int:
        answer = client.completions.create(
            model="tiny", prompt="cache " * 100, max_tokens=1, extra_body={"cache_salt": salt}
        )
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        return answer.usage.prompt_tokens_details.cached_tokens or 0

    assert cached("a") == 0
    again = cached("a")
    assert again > 0
    assert cached("b") == 0
    assert httpx.post(serve.url + "/reset_prefix_cache").status_code == 200
    assert cached("a") == 0


@pytest.mark.parametrize("level", [1, 2])
def test_a_sleeping_engine_finishes_what_runs_refuses_what_comes_and_answers_again_when_woken(
    serve: Serve, client: openai.OpenAI, level: int
) -> None:
    def ask() -> str:
        answer = client.completions.create(model="tiny", prompt="a pod", temperature=0, max_tokens=20)
        return answer.choices[0].text

    def is_sleeping() -> bool:
        asleep: bool = httpx.get(serve.url + "/is_sleeping").json()["is_sleeping"]
        return asleep

    expected = ask()
    running = client.completions.create(
        model="tiny",
        prompt="a pod",
        temperature=0,
        max_tokens=20,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    first = next(iter(running))

    assert httpx.post(serve.url + f"/sleep?level={level}", timeout=60).status_code == 200
    assert is_sleeping()
    assert (first.choices[0].text + "".join(chunk.choices[0].text for chunk in running)).startswith(expected)
    with pytest.raises(openai.InternalServerError, match="POST /wake_up") as refused:
        ask()
    assert refused.value.status_code == 503
    assert httpx.get(serve.url + "/health").status_code == 200

    assert httpx.post(serve.url + "/wake_up", timeout=60).status_code == 200
    assert not is_sleeping()
    assert ask() == expected


def test_sleep_takes_the_levels_that_there_are(serve: Serve) -> None:
    assert httpx.post(serve.url + "/sleep?level=3").status_code == 400
    assert "tags is not supported" in httpx.post(serve.url + "/wake_up?tags=weights").text


def test_the_effective_configuration_is_shown_without_secrets(serve: Serve) -> None:
    shown = httpx.get(serve.url + "/server_info").json()["config"]
    assert shown["max-log-len"]["value"] == "256"


def test_the_models_defaults_and_names_are_shown(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "alias"]
    assert client.models.retrieve("alias").id == "alias"


def test_methods_of_a_worker_extension_are_called_over_http(serve: Serve, client: openai.OpenAI) -> None:
    def call(method: str, **rest: Any) -> httpx.Response:
        return httpx.post(serve.url + "/collective_rpc", json={"method": method, **rest})

    [plain] = call("weights", args=["bytes"]).raise_for_status().json()["results"]
    assert call("weights", args=["bytes"], kwargs={"scale": 2}).json() == {
        "results": [{"bytes": 2 * plain["bytes"]}]
    }
    assert call("lingers", args=[0.2], timeout=0.05).status_code == 504
    refused, failed = call("execute"), call("fails")
    assert (refused.status_code, failed.status_code) == (400, 500)
    assert "have no method 'execute' to call; they have fails, lingers, weights" in refused.text
    assert "fails on rank 0: RuntimeError: out of luck" in failed.text
    assert call("weights", args=["bytes"]).json() == {"results": [plain]}, "answers keep their order"
    assert client.completions.create(model="tiny", prompt="a", max_tokens=2).choices[0].text
