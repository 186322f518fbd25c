"""Every argument refuses a wrong value through every door, by its name and with what is allowed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddock.engine.config import ArgumentError, SpecError, from_spec, parse_serve
from paddock.engine.config.argument import State
from paddock.engine.config.catalogue import Entry, entries
from paddock.engine.config.kinds import Kind, describe
from paddock.engine.config.naming import camel

Valid = Callable[[Entry], Any]

IN_SPEC = [
    entry for entry in entries() if entry.flag not in ("--model", "--backend") and not entry.argument.secret
]
UNSUPPORTED = [
    entry
    for entry in entries()
    if entry.argument.state in (State.NOT_YET, State.REFUSED) and entry.flag not in ("--config", "--hf-token")
]


def flag_of(entry: Entry) -> str:
    return entry.flag


def wrong_word(kind: Kind) -> str:
    """A word of the command line that no value of this kind is written as."""
    if kind.base == "str":
        return "x" * ((kind.max_length or 0) + 1)
    if kind.base == "list" and kind.item and kind.item.base == "str":
        return "[1]"
    return "?"


def wrong_value(kind: Kind) -> Any:
    return {"nonsense": 1} if kind.base in ("list", "str", "bool", "enum", "int", "size", "float") else [1]


@pytest.mark.parametrize("entry", [each for each in entries() if each.flag != "--config"], ids=flag_of)
def test_a_wrong_word_on_the_command_line_is_refused_by_name(entry: Entry) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_serve([f"{entry.flag}={wrong_word(entry.kind)}"], {}, warn=lambda _: None)

    assert entry.flag in str(caught.value) or entry.argument.successor


@pytest.mark.parametrize("entry", entries(), ids=flag_of)
def test_a_value_of_the_wrong_type_in_a_file_is_refused_by_name(entry: Entry, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({entry.flag[2:]: wrong_value(entry.kind)}))

    with pytest.raises(ArgumentError) as caught:
        parse_serve(["--config", str(file)], {}, warn=lambda _: None)

    assert entry.flag[2:] in str(caught.value)


@pytest.mark.parametrize("entry", IN_SPEC, ids=flag_of)
def test_a_value_of_the_wrong_type_in_a_spec_is_refused_by_path(entry: Entry) -> None:
    with pytest.raises(SpecError) as caught:
        from_spec({camel(entry.group): {camel(entry.name): wrong_value(entry.kind)}})

    paths = [path for path, _ in caught.value.errors]
    assert any(path.startswith(entry.spec_path) for path in paths) or entry.argument.successor


@pytest.mark.parametrize("entry", UNSUPPORTED, ids=flag_of)
def test_what_is_not_supported_is_refused_and_not_ignored(entry: Entry, valid: Valid, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({entry.flag[2:]: valid(entry)}))

    with pytest.raises(ArgumentError) as caught:
        parse_serve(["--config", str(file)], {})

    assert entry.flag[2:] in str(caught.value)
    assert "not supported yet" in str(caught.value) or "cannot work here" in str(caught.value)


@pytest.mark.parametrize("entry", [each for each in UNSUPPORTED if each in IN_SPEC], ids=flag_of)
def test_what_is_not_supported_is_refused_in_a_spec(entry: Entry, valid: Valid) -> None:
    with pytest.raises(SpecError) as caught:
        from_spec({camel(entry.group): {camel(entry.name): in_spec(entry.kind, valid(entry))}})

    [(_, message), *_] = [error for error in caught.value.errors if error[0] == entry.spec_path]
    assert "not supported yet" in message or "cannot work here" in message or " here: " in message


def in_spec(kind: Kind, value: Any) -> Any:
    if kind.base == "json":
        return json.dumps(value)
    if isinstance(value, list) and kind.item:
        return [in_spec(kind.item, each) for each in value]
    return {camel(key): each for key, each in value.items()} if kind.structure else value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--block-size", "7"], "--block-size 7: must be one of 1, 8, 16, 32, 64, 128"),
        (
            ["--gpu-memory-utilization", "1.4"],
            "--gpu-memory-utilization 1.4: must be a number above 0 and of at most 1",
        ),
        (["--max-num-seqs", "0"], "--max-num-seqs 0: must be a whole number from 1 to 2147483647"),
        (
            ["--dbo-decode-token-threshold", "64"],
            "--dbo-decode-token-threshold 64: not supported yet; leave it at 32",
        ),
        (
            ["--data-parallel-backend", "ray"],
            "--data-parallel-backend ray: cannot work here: replicas are started",
        ),
        (
            ["--load-format", "gguf"],
            "--load-format gguf: not supported yet; use auto or safetensors or pt or npcache or mistral or",
        ),
        (["--tokenizer-mode", "mistral"], "--tokenizer-mode mistral: not supported yet; use auto or slow"),
        (["--code-revision", "v2"], "--code-revision needs --trust-remote-code"),
        (["--device", "cuda"], "--device: removed: the device is detected"),
        (["--max-num-seq", "3"], "--max-num-seq: unknown flag; did you mean --max-num-seqs?"),
        (["--seed"], "--seed: needs a value: a whole number"),
        (["a", "b"], "b: unexpected argument; only the model stands without a flag"),
        (["--no-seed", "3"], "--no-seed: unknown flag"),
        (["--no-enforce-eager=1"], "--no-enforce-eager: takes no value"),
        (["--seed.x", "1"], "--seed.x: only JSON arguments take keys"),
    ],
)
def test_messages_say_the_flag_the_value_and_what_is_allowed(words: list[str], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_serve(words, {})

    assert message in str(caught.value)


def test_all_problems_come_together() -> None:
    words = [
        "--max-num-seqs",
        "64",
        "--max-num-batched-tokens",
        "63",
        "--block-size",
        "7",
        "--dtype",
        "int3",
        "--lora-extra-vocab-size",
        "9",
        "--no-such-flag",
    ]
    with pytest.raises(ArgumentError) as caught:
        parse_serve(words, {})

    text = str(caught.value)
    assert all(flag in text for flag in words if flag.startswith("--"))
    assert "--max-num-batched-tokens must be at least --max-num-seqs" in text
    assert len(caught.value.problems) == 5


def test_a_rule_is_not_blamed_for_a_value_that_is_wrong_by_itself() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_serve(["--max-num-seqs", "many", "--max-num-batched-tokens", "1"], {})

    assert len(caught.value.problems) == 1


def test_secrets_are_never_shown() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_serve(["--api-key=[5, 6, 777777]", "--hf-token", "hf_secret"], {"PADDOCK_API_KEY": "sk-secret"})

    assert not any(secret in str(caught.value) for secret in ("777777", "hf_secret", "sk-secret"))
    assert "sk-secret" not in repr(parse_serve([], {"PADDOCK_API_KEY": "sk-secret"}))


def test_every_range_is_described() -> None:
    assert describe(Kind("float", ge=0, lt=1)) == "a number of at least 0 and below 1"
    assert describe(Kind("int", ge=0, le=65535)) == "a whole number from 0 to 65535"
    assert describe(Kind("int", ge=1, le=2**31 - 1), limits=False) == "a whole number of at least 1"
