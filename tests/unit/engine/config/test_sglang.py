"""The SGLang dialect: every flag is translated, or refused by its own name, through every door."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paddock.engine.config import (
    ArgumentError,
    ServeConfig,
    SpecError,
    from_spec,
    help_text,
    parse_serve,
    to_argv,
)
from paddock.engine.config.argument import State
from paddock.engine.config.catalogue import SPEC_PATHS, Entry, by_flag
from paddock.engine.config.kinds import Kind
from paddock.engine.config.sglang.catalogue import sglang_entries, sglang_flags, sglang_spec_entries
from paddock.engine.config.sglang.table import FATES
from paddock.engine.config.sglang.translation import translate

FACTS = json.loads((files("paddock.engine.config.sglang") / "arguments.json").read_text())
ENTRIES = sglang_entries()
GONE = {"--device", "--num-scheduler-steps", "--quantization-param-path"}
"""Equivalents that the dialect itself has removed."""


def flag_of(item: Any) -> str:
    return str(item["flag"] if isinstance(item, dict) else item.flag)


def parse(*words: str) -> ServeConfig:
    return parse_serve(["--backend", "sglang", *words], {}, warn=lambda _: None)


def errors(*words: str) -> str:
    with pytest.raises(ArgumentError) as caught:
        parse(*words)
    return str(caught.value)


def other_value(entry: Entry) -> Any:
    kind = entry.kind
    if kind.choices:
        return next(choice for choice in reversed(kind.choices) if choice != entry.default)
    return {
        "bool": True,
        "int": 7,
        "float": 0.5,
        "str": "a/b",
        "list": ["a/b" if kind.item and kind.item.base == "str" else 7],
        "json": {"key": 1},
    }[kind.base]


def word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict | bool) else str(value)


def test_every_flag_of_the_catalogue_has_a_fate_and_every_fate_a_flag() -> None:
    assert {fact["flag"] for fact in FACTS} == {entry.flag for entry in ENTRIES.values()}
    assert set(FATES) == set(ENTRIES)
    assert len(FACTS) == 168


@pytest.mark.parametrize("fact", FACTS, ids=flag_of)
def test_every_flag_has_the_catalogues_names_type_bounds_and_default(fact: dict[str, Any]) -> None:
    entry = sglang_flags()[fact["flag"]]

    assert entry.argument.aliases == tuple(fact.get("aliases", ()))
    assert list(entry.kind.choices) == (fact.get("choices") or [])
    assert entry.default == fact["default"]
    for name, bound in fact.get("bounds", {}).items():
        assert fact.get("choices") or getattr(entry.kind, name) == bound


@pytest.mark.parametrize("fact", [each for each in FACTS if each.get("equivalent")], ids=flag_of)
def test_every_equivalent_of_the_catalogue_is_translated_into_it(fact: dict[str, Any]) -> None:
    fate = FATES[sglang_flags()[fact["flag"]].name]

    if fact["equivalent"] in GONE:
        assert not fate.targets
    else:
        target = by_flag()[fact["equivalent"]]
        assert (target.group, target.name) in {path[:2] for path in fate.targets}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=flag_of)
def test_every_flag_takes_effect_or_is_refused_by_its_name(entry: Entry) -> None:
    words = f"{entry.flag}={word(other_value(entry))}"
    if not accepted(words):
        assert entry.flag in errors(words)
    else:
        assert entry.argument.state is State.WORKS
        assert parse(words) != parse() or not FATES[entry.name].targets or FATES[entry.name].fixed is False


def accepted(*words: str) -> bool:
    try:
        parse(*words)
    except ArgumentError:
        return False
    return True


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=flag_of)
def test_a_value_of_the_wrong_type_is_refused_by_name_through_every_door(
    entry: Entry, tmp_path: Path
) -> None:
    wrong = [1] if entry.kind.base == "json" else {"nonsense": 1}
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({"backend": "sglang", entry.flag[2:]: wrong}))
    with pytest.raises(ArgumentError, match=entry.flag[2:]):
        parse_serve(["--config", str(file)], {})
    if entry.kind.base in ("int", "float", "bool", "enum", "json"):
        assert entry.flag in errors(f"{entry.flag}=?")
    if (entry.group, entry.name) not in SPEC_PATHS:
        with pytest.raises(SpecError, match=entry.spec_field):
            from_spec({"backend": "sglang", "sglang": {entry.spec_field: wrong}})


@pytest.mark.parametrize(
    "entry",
    [entry for entry in sglang_spec_entries().values() if not entry.argument.cluster_reason],
    ids=flag_of,
)
def test_a_spec_comes_to_the_same_verdict_as_the_command_line(entry: Entry) -> None:
    value = other_value(entry)
    in_spec = json.dumps(value) if entry.kind.base == "json" else value
    try:
        config = from_spec({"backend": "sglang", "sglang": {entry.spec_field: in_spec}})
    except SpecError:
        assert entry.flag in errors(f"{entry.flag}={word(value)}")
    else:
        flags = parse(f"{entry.flag}={word(value)}", "--host=0.0.0.0")
        assert config.model_dump(exclude={"frontend"}) == flags.model_dump(exclude={"frontend"})


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["--page-size", "32"], ["--block-size", "32"]),
        (["--disable-radix-cache"], ["--no-enable-prefix-caching"]),
        (["--disable-cuda-graph"], ["--enforce-eager"]),
        (["--cuda-graph-bs", "8"], ["--cuda-graph-sizes", "8", "8"]),
        (["--cuda-graph-max-bs", "8"], ["--cuda-graph-sizes", "8"]),
        (
            ["--max-total-tokens", "100", "--page-size", "8"],
            ["--block-size", "8", "--num-gpu-blocks-override", "12"],
        ),
        (["--max-total-tokens", "100"], ["--num-gpu-blocks-override", "6"]),
        (["--served-model-name", "a"], ["--served-model-name", "a"]),
        (["--chunked-prefill-size", "4096"], ["--max-num-batched-tokens", "4096"]),
        (
            ["--chunked-prefill-size", "-1", "--context-length", "20000"],
            ["--max-model-len", "20000", "--no-enable-chunked-prefill", "--max-num-batched-tokens", "20000"],
        ),
        (["--tp", "1", "--mem-fraction-static", "0.85"], ["--gpu-memory-utilization", "0.85"]),
        (["--random-seed", "3", "--log-requests"], ["--seed", "3", "--enable-log-requests"]),
        (["--enable-metrics", "--device", "auto", "--sleep-on-idle"], []),
        (["--weight-loader-disable-mmap=false"], []),
    ],
)
def test_values_are_translated_too(words: list[str], argv: list[str]) -> None:
    assert to_argv(parse(*words, "--port", "8000", "--host", "h")) == rearranged([*argv, "--host", "h"])


def rearranged(argv: list[str]) -> list[str]:
    return to_argv(parse_serve(argv, {}))


def test_clients_find_the_server_where_sglang_would_be() -> None:
    assert (parse().frontend.host, parse().frontend.port) == ("127.0.0.1", 30000)
    assert parse("--port", "1").frontend.port == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--page-size", "7"], "--block-size (from --page-size) 7: must be one of 1, 8, 16"),
        (
            ["--enable-two-batch-overlap"],
            "--enable-dbo (from --enable-two-batch-overlap) true: not supported",
        ),
        (["--schedule-policy", "lpm"], "--schedule-policy lpm: only fcfs exists here"),
        (["--device", "npu"], "--device npu: this engine serves NVIDIA GPUs and CPUs"),
        (["--chat-template", "chatml"], "--chat-template chatml: built-in template names are SGLang's own"),
        (["--chunked-prefill-size", "100", "--page-size", "16"], "must be a multiple of --page-size 16"),
        (["--max-prefill-tokens", "9"], "--max-prefill-tokens 9: only counts with --chunked-prefill-size -1"),
        (["--max-total-tokens", "9"], "--max-total-tokens 9: must hold at least one page"),
        (["--enable-double-sparsity"], "--enable-double-sparsity true: cannot work here: double sparsity"),
        (["--enable-torch-compile"], "cannot work here: torch.compile is not used"),
        (["--cuda-graph-bs", "0"], "--cuda-graph-bs.0 0: must be a whole number from 1"),
        (["--enable-hierarchical-cache"], "not supported yet: evicted blocks are computed again"),
        (["--max-num-seqs", "3"], "--max-num-seqs: unknown flag"),
        (["--speculative-num-steps", "3", "--speculative-num-draft-tokens", "9"], "must be 4, one more than"),
        (["--cuda-graph-bs", "1", "--cuda-graph-max-bs", "2"], "says the same as --cuda-graph-sizes"),
        (["--gateway-address", "g:1"], "--gateway-address g:1: not supported yet: there is no gateway"),
    ],
)
def test_messages_name_the_flag_that_was_given(words: list[str], message: str) -> None:
    assert message in errors(*words)


def test_the_key_stays_a_secret() -> None:
    assert "sk-1" not in errors("--api-key", "sk-1", "--dp", "0")
    assert parse("--api-key", "sk-1").frontend.api_key == ("sk-1",)
    assert "api-key" not in " ".join(to_argv(parse("--api-key", "sk-1")))


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ({"sglang": {"pageSize": 16}}, "spec.sglang", "needs spec.backend sglang"),
        ({"backend": "trt"}, "spec.backend", "must be one of vllm, sglang"),
        (
            {"backend": "sglang", "sglang": {"pageSize": 16}, "cache": {"blockSize": 32}},
            "spec.sglang.pageSize",
            "says the same as --block-size, which is also given",
        ),
        ({"backend": "sglang", "sglang": {"pagesize": 1}}, "spec.sglang.pagesize", "did you mean pageSize?"),
        ({"backend": "sglang", "sglang": {"apiKey": "k"}}, "spec.sglang.apiKey", "unknown field"),
        (
            {"backend": "sglang", "sglang": {"maxRunningRequests": 64, "chunkedPrefillSize": 32}},
            "spec.sglang.chunkedPrefillSize",
            "must be at least maxNumSeqs",
        ),
    ],
)
def test_faults_of_a_spec_have_their_path(spec: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_spec(spec)

    assert any(at == path and message in said for at, said in caught.value.errors), caught.value


def test_a_spec_is_translated_beside_groups_that_say_something_else() -> None:
    spec = {
        "backend": "sglang",
        "sglang": {"pageSize": 32, "host": "127.0.0.1"},
        "scheduler": {"maxNumSeqs": 8},
    }
    config = from_spec(spec)

    assert (config.cache.block_size, config.scheduler.max_num_seqs, config.frontend.host) == (32, 8, None)


def test_a_file_may_choose_the_dialect(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("backend: sglang\npage_size: 32\nmodel-path: m\n")
    config = parse_serve(["--config", str(file), "--page-size", "64"], {})

    assert (config.model.model, config.cache.block_size) == ("m", 64)


def test_help_lists_every_flag() -> None:
    text = help_text("sglang")

    assert all(entry.flag in text for entry in ENTRIES.values())


SCALARS = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text(max_size=5) | st.none()


@given(st.dictionaries(st.sampled_from(sorted(ENTRIES)), SCALARS | st.lists(SCALARS, max_size=2), max_size=6))
def test_no_values_are_worse_than_refused(values: dict[str, Any]) -> None:
    done = translate(values)

    assert all(problem.path[0] == "sglang" for problem in done.problems)


def test_every_kind_is_one_that_the_walk_covers() -> None:
    known = {"bool", "int", "float", "str", "enum", "list", "json"}
    assert {entry.kind.base for entry in ENTRIES.values()} == known
    assert isinstance(ENTRIES["port"].kind, Kind)
