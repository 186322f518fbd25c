"""`--print-config`: what is in force, where it came from, and no secret."""

from pathlib import Path

import yaml

from paddock.engine.config import effective, parse_serve, print_config, read_sources
from paddock.engine.config.catalogue import entries
from paddock.engine.config.layer import Sourced

KEY = {"PADDOCK_API_KEY": "sk-secret"}


def sourced(*words: str, file: Path | None = None) -> Sourced:
    config = ["--config", str(file)] if file else []
    return read_sources([*config, *words], KEY, warn=lambda _: None)


def test_every_argument_is_there_with_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("max-num-seqs: 8\nseed: 1\n")
    text = print_config(sourced("m", "--seed", "2", file=file), {("model", "dtype"): "bfloat16"})

    assert "model: m  # command line\n" in text
    assert "seed: 2  # command line\n" in text
    assert f"max-num-seqs: 8  # file {file}\n" in text
    assert "dtype: bfloat16  # model\n" in text
    assert "block-size: 16  # default\n" in text
    assert "cpu-offload-gb: 0.0  # default\n" in text
    shown = [each for each in entries() if not each.deprecated and each.flag not in ("--config", "--backend")]
    assert all(f"{each.flag[2:]}: " in text for each in shown)


def test_steps_are_shorter_with_stages_so_that_these_work_on_one_prompt_at_the_same_time() -> None:
    assert "max-num-batched-tokens: 2048  # default\n" in print_config(sourced("m"))
    staged = print_config(sourced("m", "--pipeline-parallel-size", "2"))
    assert "max-num-batched-tokens: 512  # default\n" in staged


def test_secrets_are_masked() -> None:
    text = print_config(sourced("m"))

    assert "sk-secret" not in text
    assert "# api-key: ***  # environment PADDOCK_API_KEY" in text
    assert "sk-secret" not in str(effective(sourced("m")))


def test_it_can_be_read_back_as_a_configuration_file(tmp_path: Path) -> None:
    given = sourced(
        "m#x", "--override-generation-config.top_k", "3", "--allowed-origins", '["a"]', "--root-path", "/a b"
    )
    file = tmp_path / "again.yaml"
    file.write_text(print_config(given))
    again = parse_serve(["--config", str(file)], KEY)

    assert again.model == given.config.model
    assert again.frontend == given.config.frontend


def test_it_is_yaml_whatever_the_values_are() -> None:
    odd = ["yes", "null", "1.5", "a: b", "é", "- x", "~", "0x10", "tab\there"]
    for text in odd:
        given = sourced("m", f"--tokenizer={text}")
        assert yaml.safe_load(print_config(given))["tokenizer"] == text


def test_a_translated_argument_names_the_flag_it_came_from() -> None:
    given = read_sources(["--backend", "sglang", "m", "--page-size", "32"], {}, warn=lambda _: None)
    text = print_config(given)

    assert "block-size: 32  # command line, --page-size\n" in text
    assert "port: 30000  # default of the sglang dialect\n" in text


def test_an_old_name_counts_as_its_successor() -> None:
    text = print_config(sourced("m", "--disable-log-requests=false"))

    assert "enable-log-requests: true  # command line" in text


def test_what_is_not_at_its_default_is_there_as_data() -> None:
    assert effective(sourced("m", "--max-model-len", "1K"), {("model", "dtype"): "float32"}) == {
        "api-key": {"value": "***", "origin": "environment PADDOCK_API_KEY"},
        "dtype": {"value": "float32", "origin": "model"},
        "max-model-len": {"value": "1024", "origin": "command line"},
        "model": {"value": "m", "origin": "command line"},
    }
