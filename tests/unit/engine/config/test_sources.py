"""Command line over file over environment over default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddock.engine.config import ArgumentError, ServeConfig, parse_serve

KEY = {"PADDOCK_API_KEY": "from-environment\n"}


def parse(file: Path, content: Any, *words: str, environ: Mapping[str, str] | None = None) -> ServeConfig:
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return parse_serve(["--config", str(file), *words], environ or {}, warn=lambda _: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "serve.yaml"


def test_the_file_fills_in_what_the_command_line_leaves_out(file: Path) -> None:
    config = parse(file, {"model": "m", "port": 80, "max-model-len": "1K", "host": "::"}, "--port", "81")

    assert (config.model.model, config.frontend.port, config.model.max_model_len) == ("m", 81, 1024)
    assert config.frontend.host == "::"


def test_underscores_may_stand_for_dashes_in_the_file(file: Path) -> None:
    assert parse(file, {"max_num_seqs": 9}).scheduler.max_num_seqs == 9


def test_the_environment_is_weaker_than_the_file_and_the_command_line(file: Path) -> None:
    assert parse_serve([], KEY).frontend.api_key == ("from-environment",)
    assert parse(file, {"api-key": ["f"]}, environ=KEY).frontend.api_key == ("f",)
    assert parse(file, {"api-key": ["f"]}, "--api-key", "c", environ=KEY).frontend.api_key == ("c",)


def test_an_empty_variable_counts_as_unset() -> None:
    assert parse_serve([], {"PADDOCK_API_KEY": " \n"}).frontend.api_key is None


def test_a_json_argument_comes_whole_from_the_strongest_source(file: Path) -> None:
    content = {"override-generation-config": {"temperature": 0.5}}
    config = parse(file, content, "--override-generation-config.top_k", "3")

    assert config.model.override_generation_config.temperature is None


def test_an_old_name_in_the_file_does_not_beat_the_command_line(file: Path) -> None:
    config = parse(file, {"disable-log-requests": False}, "--no-enable-log-requests")

    assert config.service.enable_log_requests is False


def test_empty_files_and_null_values_say_nothing(file: Path) -> None:
    assert parse(file, "").cache == ServeConfig().cache
    assert parse(file, "max-num-seqs:\n").scheduler.max_num_seqs is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("port: '80'", 'port in .* "80": must be a whole number'),
        ("enforce-eager: 1", "enforce-eager in .* 1: must be true or false"),
        ("max-num-seq: 3", "unknown argument; did you mean max-num-seqs"),
        ("tp: 1", "unknown argument"),
        ("config: other.yaml", "cannot name another one"),
        ("- a\n- b", "must hold `name: value` lines"),
        ("a: [", "is not YAML"),
        ("seed: 1\nseed: 2", "seed is given twice"),
        ("max-num-seqs: 1\nmax_num_seqs: 2", "max_num_seqs is given twice"),
        ("override-generation-config: {top_k: 1, top_k: 2}", "top_k is given twice"),
        ("gateway-address: g", "gateway-address in .* g: not supported yet: there is no gateway"),
        ("heartbeat-interval: 0", "heartbeat-interval in .* 0: must be a whole number from 1"),
        ("log-streaming: false", "log-streaming in .* false: not supported yet"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
        ("device: cuda", "device in .*: removed: the device is detected"),
        ("3: 4", "3 in .*: unknown argument"),
        ("override-generation-config: {temprature: 1}", "unknown key; did you mean temperature"),
        (
            "num-speculative-tokens: 3",
            r"speculative-config \(from num-speculative-tokens in .*not supported yet",
        ),
    ],
)
def test_faults_of_a_file_are_reported_with_its_name(file: Path, content: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        parse(file, content)

    assert "serve.yaml" in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read: No such file"):
        parse_serve(["--config", str(tmp_path / "none.yaml")], {})
