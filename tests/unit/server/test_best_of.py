"""best_of of /v1/completions: how many answers are generated, which are shown, and what it cannot be combined with."""

import json
from typing import Any

import httpx
import pytest

from paddock.engine.messages import TokenLogprob
from paddock.server.generation.best_of import BestOfFormat
from paddock.server.generation.choice import Piece
from paddock.server.generation.completion_format import CompletionOptions
from paddock.server.generation.format import ReplyIdentity
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.protocol.replies import Usage
from paddock.server.tokens.tokenizer import Tokenizer

TEXT = "/v1/completions"


def piece(text: str, *logprobs: float) -> Piece:
    return Piece(text, len(logprobs), logprobs=[[TokenLogprob(1, value, 1)] for value in logprobs])


def test_the_likeliest_by_the_mean_of_their_tokens_are_shown_best_first(tokenizer: Tokenizer) -> None:
    options = CompletionOptions(logprobs=None, prompt_logprobs=False, shows_tokens=True)
    reply = BestOfFormat(
        ReplyIdentity("a", "m", 0), 2, [], options, LogprobFormat(tokenizer, False), best_of=3
    )
    first = [piece("short and poor", -2.0), piece("long and good", -1.0, -1.0, -1.0), piece("best", -0.5)]
    second = [piece("a", -1.0), piece("b", -3.0), piece("c", -2.0)]
    shown = json.loads(reply.whole(first + second, Usage(1, 1, 2)))["choices"]
    assert [choice["text"] for choice in shown] == ["best", "long and good", "a", "c"]
    assert [choice["index"] for choice in shown] == [0, 1, 2, 3]
    assert all(choice["logprobs"] is None for choice in shown)


def test_all_that_is_generated_counts_and_has_a_seed_of_its_own(http: httpx.Client, engine: Any) -> None:
    body = {"prompt": ["fox", "dog"], "n": 2, "best_of": 3, "max_tokens": 4, "seed": 1}
    reply = http.post(TEXT, json=body).json()
    assert len(reply["choices"]) == 4
    assert reply["usage"]["completion_tokens"] == 2 * 3 * 4
    assert len({request.sampling.seed for request in engine.seen}) == 3
    assert {request.sampling.logprobs for request in engine.seen} == {0}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"best_of": 2, "n": 3}, "best_of 2 is below n 3"),
        ({"best_of": 2, "stream": True}, "cannot be combined with stream"),
        ({"best_of": 2, "use_beam_search": True}, "cannot be combined with use_beam_search"),
        ({"best_of": 129}, "best_of"),
        ({"best_of": 128, "prompt": ["a"] * 9}, "1024 are allowed"),
    ],
)
def test_what_cannot_be_is_refused(http: httpx.Client, fields: dict[str, Any], message: str) -> None:
    reply = http.post(TEXT, json={"prompt": "a", **fields})
    assert reply.status_code == 400
    assert message in reply.json()["error"]["message"]


def test_as_many_as_are_shown_may_be_streamed(http: httpx.Client) -> None:
    reply = http.post(TEXT, json={"prompt": "a", "n": 2, "best_of": 2, "stream": True, "max_tokens": 2})
    assert reply.text.endswith("data: [DONE]\n\n")


def test_prompt_logprobs_come_with_the_choices_of_their_prompt(http: httpx.Client) -> None:
    reply = http.post(TEXT, json={"prompt": ["fox", "dog and fox"], "prompt_logprobs": 0, "max_tokens": 1})
    first, second = (choice["prompt_logprobs"] for choice in reply.json()["choices"])
    assert first[0] is second[0] is None
    assert len(first) < len(second)
