"""What the command line lays over a model's own configuration."""

import json

import pytest

from paddock.engine.config import parse_serve
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.hf_config import read_model_config

OWN = {
    "architectures": ["LlamaForCausalLM"],
    "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
    "text_config": {"a": 1, "b": {"c": 2, "d": 3}},
}


@pytest.fixture
def read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OWN))

    def run(*flags):
        return read_model_config(tmp_path, parse_serve([str(tmp_path), *flags], {}).model)[0]

    return run


def test_without_overrides_the_configuration_is_as_it_stands(read):
    assert read() == OWN


def test_objects_are_merged_and_other_values_replaced(read):
    fields = read("--hf-overrides", '{"text_config": {"b": {"c": 9}}, "architectures": ["X"], "new": null}')

    assert fields["text_config"] == {"a": 1, "b": {"c": 9, "d": 3}}
    assert (fields["architectures"], fields["new"]) == (["X"], None)


def test_a_value_in_the_place_of_an_object_is_refused(read):
    with pytest.raises(
        CheckpointError, match=r"--hf-overrides: text_config\.b is '7', and the model's .*an object"
    ):
        read("--hf-overrides", '{"text_config": {"b": 7}}')


def test_a_factor_alone_keeps_the_rest_of_the_scaling(read):
    rope = read("--rope-scaling.factor", "16")["rope_parameters"]

    assert rope == {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 16.0,
        "original_max_position_embeddings": 8192,
    }


def test_another_kind_keeps_the_theta_alone(read):
    rope = read("--rope-scaling", '{"rope_type": "linear", "factor": 2}')["rope_parameters"]

    assert rope == {"rope_type": "linear", "rope_theta": 500000.0, "factor": 2.0}


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_null_removes_the_scaling(key, read):
    rope = read("--hf-overrides", json.dumps({key: None}))["rope_parameters"]

    assert rope == {"rope_type": "default", "rope_theta": 500000.0}


def test_flags_go_before_overrides(read):
    rope = read("--hf-overrides", '{"rope_theta": 7.0}', "--rope-theta", "9")["rope_parameters"]

    assert rope["rope_theta"] == 9.0


@pytest.mark.parametrize("theta", ["0", "-1", "1"])
def test_a_theta_that_makes_no_frequencies_is_refused(theta, read):
    with pytest.raises(CheckpointError, match="rope_theta is"):
        read("--rope-theta", theta)


@pytest.mark.parametrize("text", ["{", "[]", "", "[" * 100_000], ids=["cut", "list", "empty", "deep"])
def test_a_configuration_that_is_no_object_is_told(text, read, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(text)

    with pytest.raises(CheckpointError, match=r"config\.json"):
        read("--hf-config-path", str(tmp_path / "other"))
