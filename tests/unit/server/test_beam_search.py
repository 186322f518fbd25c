"""The search itself against a brute search over all texts, and its answer over HTTP with a scripted engine."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.engine.messages import TokenLogprob
from paddock.server.generation.beam_search import Beam, BeamRules, BeamSearch

TEXT = "/v1/completions"


def model(seed: int, vocabulary: int) -> Callable[[tuple[int, ...]], list[float]]:
    """Log-probabilities of the next token, a fixed function of the text so far."""

    def after(text: tuple[int, ...]) -> list[float]:
        weights = [1 + hash((seed, text, token)) % 97 for token in range(vocabulary)]
        return [math.log(weight / sum(weights)) for weight in weights]

    return after


def search(rules: BeamRules, after: Callable[[tuple[int, ...]], list[float]]) -> BeamSearch:
    found = BeamSearch(rules)
    while not found.over:
        candidates = []
        for beam in found.beams:
            ranked = sorted(enumerate(after(beam.token_ids)), key=lambda item: -item[1])
            best = ranked[: rules.num_candidates]
            candidates.append([TokenLogprob(token, value, 1 + at) for at, (token, value) in enumerate(best)])
        found.advance(candidates)
    return found


@given(st.integers(0, 500), st.integers(1, 3), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_beam_as_wide_as_all_texts_finds_the_best_one(seed: int, length: int, penalty: float) -> None:
    after, vocabulary, end = model(seed, 4), 4, 0
    rules = BeamRules(64, length, penalty, False, frozenset((end,)))

    best = search(rules, after).finished[0]

    def score(text: tuple[int, ...]) -> float:
        return sum(after(text[:at])[token] for at, token in enumerate(text)) / len(text) ** penalty

    texts = [
        (*inner, last)
        for size in range(length)
        for inner in itertools.product(range(1, vocabulary), repeat=size)
        for last in ([end] if size < length - 1 else range(vocabulary))
    ]
    assert best.score == pytest.approx(max(map(score, texts)))


@given(st.integers(0, 500), st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_a_search_gives_as_many_different_texts_as_it_is_wide(
    seed: int, width: int, length: int, early: bool
) -> None:
    rules = BeamRules(width, length, 1.0, early, frozenset((0, 1)))
    finished = search(rules, model(seed, 9)).finished
    assert len({one.beam.token_ids for one in finished}) == len(finished) == width
    assert [one.score for one in finished] == sorted((one.score for one in finished), reverse=True)
    for one in finished:
        assert one.ended == (one.beam.token_ids[-1] in rules.end_ids)
        assert not rules.end_ids & set(one.beam.token_ids[:-1])
        assert one.ended or len(one.beam.token_ids) == length


def test_one_beam_is_greedy() -> None:
    after = model(3, 9)
    [one] = search(BeamRules(1, 5, 1.0, False, frozenset()), after).finished
    text: tuple[int, ...] = ()
    for _ in range(5):
        values = after(text)
        text += (values.index(max(values)),)
    assert one.beam.token_ids == text


def test_a_beam_keeps_the_entries_that_logprobs_show() -> None:
    top = [TokenLogprob(7, -0.5, 1), TokenLogprob(3, -1.0, 2)]
    grown = Beam().grown(top[1], top)
    assert grown.positions == ([top[1], *top],)
    assert grown.total == -1.0


def test_the_reply_has_n_beams_best_first(http: httpx.Client, engine: Any) -> None:
    body = {"prompt": ["a", "b"], "use_beam_search": True, "n": 2, "max_tokens": 3, "return_token_ids": True}
    reply = http.post(TEXT, json=body)
    assert reply.status_code == 200, reply.text
    choices = reply.json()["choices"]
    # Of the engine's scripted candidates 11 is the best at each place, and 12 the next.
    assert [choice["token_ids"] for choice in choices] == [[11] * 3, [11, 11, 12]] * 2
    assert {choice["finish_reason"] for choice in choices} == {"length"}
    assert reply.json()["usage"]["completion_tokens"] == 12
    assert len({request.request_id for request in engine.seen}) == len(engine.seen)


def test_beams_show_logprobs_of_their_own_tokens(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "use_beam_search": True, "n": 2, "max_tokens": 2}
    reply = http.post("/v1/chat/completions", json={**body, "logprobs": True, "top_logprobs": 1}).json()
    entries = [choice["logprobs"]["content"] for choice in reply["choices"]]
    assert [[entry["logprob"] for entry in content] for content in entries] == [[-1.5, -1.5], [-1.5, -2.5]]
    assert all(entry["top_logprobs"][0]["logprob"] == -1.5 for content in entries for entry in content)


def test_a_stop_token_ends_a_beam(http: httpx.Client) -> None:
    body = {"prompt": "a", "use_beam_search": True, "n": 1, "max_tokens": 5, "stop_token_ids": [11]}
    [choice] = http.post(TEXT, json={**body, "return_token_ids": True}).json()["choices"]
    assert (choice["token_ids"], choice["finish_reason"]) == ([11], "stop")


def test_a_caller_who_leaves_ends_the_search(
    http: httpx.Client, engine: Any, eventually: Callable[..., None]
) -> None:
    engine.hold_after = 0
    with pytest.raises(httpx.ReadTimeout):
        http.post(TEXT, json={"prompt": "a", "use_beam_search": True, "n": 3}, timeout=0.3)
    eventually(lambda: not engine.running)
    engine.hold_after = None
    assert http.post(TEXT, json={"prompt": "a", "max_tokens": 1}).status_code == 200


def test_an_echo_with_logprobs_is_refused(http: httpx.Client) -> None:
    body = {"prompt": "a", "use_beam_search": True, "echo": True, "logprobs": 1}
    reply = http.post(TEXT, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "echo")
