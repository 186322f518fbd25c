"""/v1/completions: prompts in four shapes, echo, logprobs."""

import json
from typing import Any

import httpx

TEXT = "/v1/completions"


def ask(http: httpx.Client, **body: Any) -> dict[str, Any]:
    response = http.post(TEXT, json=body)
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def stream(http: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    text = http.post(TEXT, json={"stream": True, **body}).text
    return [
        json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data: {")
    ]


def test_an_answer_has_the_shape_of_the_api(http: httpx.Client, engine: Any) -> None:
    engine.script = " jumps"
    reply = ask(http, prompt="The fox", model="tiny")
    assert reply["object"] == "text_completion"
    assert reply["id"].startswith("cmpl-")
    assert reply["choices"] == [
        {"index": 0, "text": " jumps", "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    ]


def test_sixteen_tokens_are_the_default(http: httpx.Client) -> None:
    for body in ({}, {"max_tokens": None}):
        assert ask(http, prompt="hi", **body)["usage"]["completion_tokens"] == 16


def test_prompts_come_as_text_or_tokens_alone_or_in_lists(
    http: httpx.Client, engine: Any, tokenizer: Any
) -> None:
    ids = tokenizer.encode("fox", True)
    for prompt in ("fox", ["fox"], ids, [ids]):
        ask(http, prompt=prompt, max_tokens=1)
    assert all(request.prompt_token_ids == ids for request in engine.seen)


def test_choices_of_several_prompts_are_numbered_prompt_by_prompt(
    http: httpx.Client, engine: Any, tokenizer: Any
) -> None:
    reply = ask(http, prompt=["fox", "dog"], n=2, max_tokens=3)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    assert reply["choices"][0]["text"] == reply["choices"][1]["text"] != reply["choices"][2]["text"]
    prompts = len(tokenizer.encode("fox", True)) + len(tokenizer.encode("dog", True))
    assert reply["usage"]["prompt_tokens"] == prompts
    assert reply["usage"]["completion_tokens"] == 12


def test_streams_join_to_the_whole_text_per_choice(http: httpx.Client, engine: Any) -> None:
    engine.script = "日本語 🙂 fox"
    chunks = stream(http, prompt=["a", "b"], n=2, max_tokens=64, stream_options={"include_usage": True})
    texts = ["", "", "", ""]
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == [engine.script] * 4
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 2


def test_logprobs_are_four_parallel_lists(http: httpx.Client, engine: Any, tokenizer: Any) -> None:
    engine.script = "The fox"
    logprobs = ask(http, prompt="a", logprobs=2)["choices"][0]["logprobs"]
    tokens = logprobs["tokens"]
    assert "".join(tokens) == "The fox<|im_end|>"
    assert logprobs["text_offset"] == [len("".join(tokens[:position])) for position in range(len(tokens))]
    assert logprobs["token_logprobs"] == [-9999.0] * len(tokens)
    assert all(
        len(top) == 3 and top[tokens[at]] == -9999.0 for at, top in enumerate(logprobs["top_logprobs"])
    )


def test_offsets_go_on_over_the_chunks_of_a_stream(http: httpx.Client, engine: Any) -> None:
    engine.script = "The quick fox"
    whole = ask(http, prompt="a", logprobs=0)["choices"][0]["logprobs"]
    pieces = [chunk["choices"][0]["logprobs"] for chunk in stream(http, prompt="a", logprobs=0)]
    for name in ("tokens", "text_offset"):
        assert [item for piece in pieces if piece for item in piece[name]] == whole[name]


def test_echo_puts_the_prompt_in_front(http: httpx.Client, engine: Any, tokenizer: Any) -> None:
    engine.script = " jumps"
    assert ask(http, prompt="The fox", echo=True)["choices"][0]["text"] == "The fox jumps"
    ids = tokenizer.encode("The fox", True)
    assert ask(http, prompt=ids, echo=True)["choices"][0]["text"] == "The fox jumps"
    texts = [chunk["choices"][0]["text"] for chunk in stream(http, prompt="The fox", echo=True)]
    assert "".join(texts) == "The fox jumps"


def test_echo_alone_generates_nothing(http: httpx.Client) -> None:
    reply = ask(http, prompt="The fox", echo=True, max_tokens=0)
    assert reply["choices"][0]["text"] == "The fox"
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 0


def test_echo_with_logprobs_begins_with_nulls(http: httpx.Client, engine: Any, tokenizer: Any) -> None:
    engine.script = " jumps"
    logprobs = ask(http, prompt="The fox", echo=True, logprobs=1)["choices"][0]["logprobs"]
    prompt_tokens = len(tokenizer.encode("The fox", True))
    assert "".join(logprobs["tokens"]) == "The fox jumps<|im_end|>"
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert logprobs["token_logprobs"][1:] == [-9999.0] * (len(logprobs["tokens"]) - 1)
    assert logprobs["text_offset"][prompt_tokens] == len("The fox")


def test_echo_with_logprobs_and_no_new_token_scores_the_prompt(http: httpx.Client, tokenizer: Any) -> None:
    reply = ask(http, prompt="The fox", echo=True, logprobs=1, max_tokens=0)
    assert "".join(reply["choices"][0]["logprobs"]["tokens"]) == "The fox"


def test_a_cache_salt_and_a_priority_reach_the_engine(start_server: Any, engine: Any) -> None:
    url = start_server(priority=True).url
    httpx.post(url + TEXT, json={"prompt": "a", "max_tokens": 1, "cache_salt": "mine", "priority": 5})
    assert (engine.seen[0].cache_salt, engine.seen[0].priority) == ("mine", 5)


def test_token_rules_reach_the_engine_as_token_ids(http: httpx.Client, engine: Any, tokenizer: Any) -> None:
    ask(http, prompt="a", max_tokens=1, allowed_token_ids=[5, 6], bad_words=["quick ", "日本"])
    sampling = engine.seen[0].sampling
    assert sampling.allowed_token_ids == (5, 6)
    texts = {tokenizer.decode(list(word), False) for word in sampling.bad_words}
    assert texts == {"quick", " quick", "日本", " 日本"}


def test_named_processors_and_free_values_reach_the_engine(http: httpx.Client, engine: Any) -> None:
    named = ["mine.A", {"qualname": "mine.B", "kwargs": {"base": 16}}]
    ask(http, prompt="a", max_tokens=1, logits_processors=named, vllm_xargs={"mood": [1, "x"]})
    sampling = engine.seen[0].sampling
    assert sampling.logits_processors == {"mine.A": {}, "mine.B": {"base": 16}}
    assert sampling.extra_args == {"mood": [1, "x"]}
    ask(http, prompt="a", max_tokens=1)
    assert (engine.seen[1].sampling.logits_processors, engine.seen[1].sampling.bad_words) == ({}, ())


def test_a_fault_of_one_request_in_the_engine_is_told_in_words(http: httpx.Client, engine: Any) -> None:
    engine.fault = "no token is left to choose from"
    reply = http.post(TEXT, json={"prompt": "a"})
    assert reply.status_code == 500
    assert "no token is left" in reply.json()["error"]["message"]
    assert reply.headers["x-should-retry"] == "false"
    assert "no token is left" in http.post(TEXT, json={"prompt": "a", "stream": True}).text
