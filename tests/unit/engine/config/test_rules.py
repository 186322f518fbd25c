"""Conditions over several arguments: the same sentence in Python and, through CEL, in the API server."""

import re

import pytest

from paddock.engine.config import ArgumentError, cross_group_rules, group_schemas, parse_serve
from paddock.engine.config.catalogue import by_path
from paddock.engine.config.expression import Scope, size_in_cel, value
from paddock.engine.config.problems import FIELD_REFERENCE
from paddock.engine.config.rules import RULES, Rule


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ("--max-num-seqs 64 --max-num-batched-tokens 63", "must be at least --max-num-seqs"),
        (
            "--no-enable-chunked-prefill --max-model-len 4K --max-num-batched-tokens 2K",
            "must be at least --max-model-len while",
        ),
        (
            "--no-enable-chunked-prefill --long-prefill-token-threshold 9",
            "--long-prefill-token-threshold needs --enable-chunked-prefill",
        ),
        ("--max-long-partial-prefills 2", "must be at most --max-num-partial-prefills"),
        ("-dcp 3 -tp 8", "must divide --tensor-parallel-size"),
        ("-dp 2 -dpn 2", "--data-parallel-rank must be below --data-parallel-size"),
        ("-dpl 3", "--data-parallel-size-local must be at most --data-parallel-size"),
        ("--enable-eplb", "--enable-eplb needs --enable-expert-parallel"),
        (
            "-dp 2 --enable-expert-parallel --enable-sleep-mode",
            "does not go with --enable-expert-parallel over several",
        ),
        (
            "-dp 2 --enable-expert-parallel --cpu-offload-gb 1",
            "--cpu-offload-gb does not go with --enable-expert-parallel over several",
        ),
        ("--convert embed --runner generate", "--convert needs --runner pooling or auto"),
        ("--enable-auto-tool-choice", "needs --tool-call-parser"),
        ("--ssl-keyfile k", "--ssl-keyfile needs --ssl-certfile"),
        ("--max-cpu-loras 1 --max-loras 2", "--max-cpu-loras must be at least --max-loras"),
        ("--headless --api-server-count 2", "--headless needs --api-server-count 1"),
        ("--collect-detailed-traces all", "needs --otlp-traces-endpoint"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(words: str, fragment: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_serve(words.split(), {})

    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        "--max-num-seqs 64 --max-num-batched-tokens 64",
        "--no-enable-chunked-prefill --max-model-len 4K",
        "--max-num-seqs 4096",
        "--no-enable-chunked-prefill --max-model-len 4K --max-num-batched-tokens 4096",
        "--max-model-len 1M",
        "-dp 4 -dpl 4 --enable-expert-parallel",
        "-dp 4 -dpl 2 --data-parallel-hybrid-lb --enable-expert-parallel",
        "-dp 4 -dpn 2 --enable-expert-parallel",
    ],
)
def test_a_combination_at_the_edge_is_accepted(words: str) -> None:
    parse_serve(words.split(), {})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.message)[:60])
def test_every_rule_speaks_of_real_fields_and_blames_one_it_reads(rule: Rule) -> None:
    named = {(match[1], match[2]) for match in FIELD_REFERENCE.finditer(rule.message)}

    assert named <= set(by_path())
    assert set(rule.holds.fields) <= set(by_path())
    assert rule.blamed in rule.holds.fields


def test_every_rule_reaches_the_custom_resource_once() -> None:
    in_groups = [
        rule for schema in group_schemas().values() for rule in schema.get("x-kubernetes-validations", [])
    ]

    assert len(in_groups) + len(cross_group_rules()) == len(RULES)
    for rule in in_groups + cross_group_rules():
        assert re.fullmatch(r"(\.\w+)+", rule["fieldPath"])
        assert "{" not in rule["message"]


def scope(filled: bool) -> Scope:
    return Scope(lambda group, name: f"self.{group}.{name}", lambda *_: filled)


def test_a_field_that_the_api_server_fills_in_is_not_looked_up_twice() -> None:
    headless = value("service.headless", False)

    assert headless.cel(scope(filled=True)) == "self.service.headless"
    assert headless.cel(scope(filled=False)) == "(has(self.service.headless) ? self.service.headless : false)"


def test_sizes_in_words_are_computed_by_the_api_server_too() -> None:
    text = value("model.max_model_len", 1, size=True).cel(scope(filled=False))

    assert size_in_cel("self.model.max_model_len") in text
    assert "'k': 1000.0" in text
    assert "'K': 1024.0" in text
