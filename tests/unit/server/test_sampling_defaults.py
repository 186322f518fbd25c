"""Sampling values for what requests leave unset."""

import json
from pathlib import Path
from typing import Any

import pytest

from paddock.server.sampling_defaults import GenerationConfigError, SamplingDefaults, read_sampling_defaults


def write(folder: Path, **values: Any) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(values))
    return folder


def test_the_models_own_file_is_read_and_foreign_keys_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, temperature=0.6, top_p=0.95, top_k=20, eos_token_id=7, do_sample=True)
    assert read_sampling_defaults(tmp_path, "auto", {}) == SamplingDefaults(0.6, 0.95, 20)


def test_without_a_file_the_values_are_neutral(tmp_path: Path) -> None:
    assert read_sampling_defaults(tmp_path, "auto", {}) == SamplingDefaults()


def test_vllm_ignores_the_file(tmp_path: Path) -> None:
    assert read_sampling_defaults(write(tmp_path, temperature=0.6), "vllm", {}) == SamplingDefaults()


def test_another_folder_and_an_override_win_in_this_order(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other, temperature=0.1, top_k=-1)
    read = read_sampling_defaults(tmp_path, str(other), {"temperature": 0.9, "max_new_tokens": 8})
    assert (read.temperature, read.top_k, read.max_new_tokens) == (0.9, 0, 8)


def test_a_folder_without_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenerationConfigError, match="--generation-config"):
        read_sampling_defaults(tmp_path, str(tmp_path), {})


@pytest.mark.parametrize(
    "values",
    [{"temperature": -1}, {"temperature": True}, {"top_p": "1"}, {"top_k": 1.5}, {"max_new_tokens": 0}],
)
def test_a_value_out_of_range_names_its_key(values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(GenerationConfigError, match=next(iter(values))):
        read_sampling_defaults(write(tmp_path, **values), "auto", {})


def test_an_unknown_override_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(GenerationConfigError, match="temperature"):
        read_sampling_defaults(tmp_path, "auto", {"mood": 1})


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(GenerationConfigError, match=r"generation_config\.json"):
        read_sampling_defaults(tmp_path, "auto", {})
