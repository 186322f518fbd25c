"""A model whose rotary positions are overridden answers as transformers does with the same override."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from paddock.engine.config import parse_serve
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings, SettingsError

THETA = 10000.0
LONG = [1.0 + 0.5 * i for i in range(8)]
SHORT = [1.0 + 0.1 * i for i in range(8)]
OVERRIDES = {
    "theta": {"rope_type": "default", "rope_theta": 250000.0},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    "yarn-mscale": {
        "rope_type": "yarn",
        "factor": 8.0,
        "original_max_position_embeddings": 32,
        "mscale": 1.0,
        "mscale_all_dim": 0.5,
        "beta_fast": 16.0,
        "truncate": False,
    },
    "longrope": {
        "rope_type": "longrope",
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        "short_factor": SHORT,
        "long_factor": LONG,
    },
}
PROMPT = [(7 * i + i * i) % 211 for i in range(100)]


def oracle_with(path, rope, **changes):
    """transformers' own reading of the checkpoint with this override."""
    return AutoModelForCausalLM.from_pretrained(
        path, rope_parameters={"rope_theta": THETA, **rope}, dtype=torch.float32, **changes
    ).eval()


def executor_for(path, *flags):
    config = parse_serve([str(path), "--dtype", "float32", "--block-size", "8", *flags], {})
    shape = ModelShape.read(path, config.model)
    settings = EngineSettings.resolve(config, shape)
    return UniExecutor(settings, config, shape, path)


def scaling_flags(rope):
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    flags = ["--rope-theta", str(rope["rope_theta"])] if "rope_theta" in rope else []
    return [*flags, "--rope-scaling", json.dumps(scaling)] if len(scaling) > 1 else flags


@pytest.mark.parametrize("name", list(OVERRIDES))
def test_an_override_answers_token_for_token_as_transformers_does(
    name, checkpoint_of, checkpoint_type, drive
):
    path = checkpoint_of("llama").path
    oracle = checkpoint_type(path, oracle_with(path, OVERRIDES[name]))
    plain = checkpoint_of("llama").continuation(PROMPT, 24)

    engine = executor_for(path, "--max-model-len", "160", *scaling_flags(OVERRIDES[name]))
    tokens, _ = drive(engine, 8).generate(PROMPT, SamplingParams(max_tokens=24, temperature=0.0), 40)

    assert tokens == oracle.continuation(PROMPT, 24)
    assert tokens != plain


def test_longrope_within_the_original_context_uses_the_short_factors(checkpoint_of, checkpoint_type, drive):
    path = checkpoint_of("llama").path
    oracle = checkpoint_type(path, oracle_with(path, OVERRIDES["longrope"]))

    engine = executor_for(path, "--max-model-len", "64", *scaling_flags(OVERRIDES["longrope"]))
    tokens, _ = drive(engine, 8).generate(PROMPT[:30], SamplingParams(max_tokens=20, temperature=0.0), 40)

    assert tokens == oracle.continuation(PROMPT[:30], 20)


def test_dynamic_scaling_places_tokens_as_transformers_does_at_the_served_length(checkpoint_of, drive):
    """Its frequencies follow the length of the sequence, so the prompt here is as long as the served context."""
    path = checkpoint_of("llama").path
    rope = {"rope_type": "dynamic", "factor": 2.0}
    oracle = oracle_with(path, rope, max_position_embeddings=64)

    flags = ["--hf-overrides", '{"max_position_embeddings": 64}', *scaling_flags(rope)]
    engine = executor_for(path, "--max-model-len", str(len(PROMPT)), *flags)
    tokens, _ = drive(engine, 8).generate(PROMPT, SamplingParams(max_tokens=1, temperature=0.0), 40)

    with torch.inference_mode():
        assert tokens == [int(oracle(torch.tensor([PROMPT])).logits[0, -1].argmax())]


def test_nested_overrides_change_the_model_as_the_flags_do(checkpoint_of, drive):
    path = checkpoint_of("llama").path
    sampling = SamplingParams(max_tokens=12, temperature=0.0)
    nested = json.dumps({"rope_parameters": OVERRIDES["yarn"]})

    by_flag = drive(executor_for(path, *scaling_flags(OVERRIDES["yarn"])), 8).generate(PROMPT, sampling, 40)[
        0
    ]
    by_key = drive(executor_for(path, "--hf-overrides", nested), 8).generate(PROMPT, sampling, 40)[0]
    dotted = drive(
        executor_for(
            path,
            *("--hf-overrides.rope_scaling.rope_type", "yarn", "--hf-overrides.rope_scaling.factor", "4"),
            *("--hf-overrides.rope_scaling.original_max_position_embeddings", "64"),
        ),
        8,
    ).generate(PROMPT, sampling, 40)[0]

    assert by_flag == by_key == dotted


@pytest.mark.parametrize(
    ("flags", "length"),
    [
        (["--rope-scaling", '{"rope_type":"yarn","factor":4}'], 2048),
        (["--rope-scaling", '{"rope_type":"yarn","factor":4,"original_max_position_embeddings":256}'], 1024),
        (["--rope-scaling", '{"type":"linear","factor":2.5}'], 1280),
        (["--rope-scaling", '{"rope_type":"dynamic","factor":2}'], 1024),
        (["--rope-theta", "1e6"], 512),
        (["--hf-overrides", '{"max_position_embeddings": 300}'], 300),
    ],
)
def test_the_context_grows_with_the_factor(flags, length, checkpoint_of):
    path = checkpoint_of("llama").path
    config = parse_serve([str(path), *flags], {})

    assert EngineSettings.resolve(config, ModelShape.read(path, config.model)).max_model_len == length


def test_a_longer_context_than_the_models_needs_the_variable(checkpoint_of, monkeypatch):
    path = checkpoint_of("llama").path
    config = parse_serve([str(path), "--max-model-len", "700"], {})
    shape = ModelShape.read(path, config.model)

    with pytest.raises(SettingsError, match="or set PADDOCK_ALLOW_LONG_MAX_MODEL_LEN=1"):
        EngineSettings.resolve(config, shape)
    monkeypatch.setenv("PADDOCK_ALLOW_LONG_MAX_MODEL_LEN", "1")
    assert EngineSettings.resolve(config, shape).max_model_len == 700


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ('{"factor": 2}', "rope type 'default' has no use for factor; it takes none; name a rope_type"),
        ('{"rope_type": "yarn", "factor": 2, "low_freq_factor": 1}', "'yarn' has no use for low_freq_factor"),
        (
            '{"rope_type": "yarm", "factor": 2}',
            "rope type 'yarm' is not supported; supported: default, linear",
        ),
        ('{"rope_type": "linear"}', "rope type 'linear' needs a factor"),
        ('{"rope_type": "longrope", "factor": 2}', "'longrope' needs short_factor"),
    ],
)
def test_a_scaling_that_would_not_act_is_refused(scaling, message, checkpoint_of):
    path = checkpoint_of("llama").path
    config = parse_serve([str(path), "--rope-scaling", scaling], {})

    with pytest.raises(CheckpointError, match=message):
        ModelShape.read(path, config.model)


def test_longrope_factors_must_fit_the_heads(checkpoint_of):
    path = checkpoint_of("llama").path
    scaling = OVERRIDES["longrope"] | {"long_factor": [1.0, 2.0]}

    with pytest.raises(CheckpointError, match="rope long_factor has 2 entries; the model's heads need 8"):
        executor_for(path, "--rope-scaling", json.dumps(scaling))


@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_configuration_from_elsewhere_takes_the_place_of_the_models(
    named, checkpoint_of, checkpoint_type, drive, tmp_path
):
    path = checkpoint_of("llama").path
    config = json.loads((path / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 250000.0
    (tmp_path / "config.json").write_text(json.dumps(config))
    oracle = checkpoint_type(path, oracle_with(path, OVERRIDES["theta"]))

    place = tmp_path if named == "folder" else tmp_path / "config.json"
    engine = executor_for(path, "--hf-config-path", str(place))
    tokens, _ = drive(engine, 8).generate(PROMPT, SamplingParams(max_tokens=12, temperature=0.0), 40)

    assert tokens == oracle.continuation(PROMPT, 12)
