"""Which runner serves a checkpoint, and what is made of its hidden states, by its files and the arguments."""

import json
from pathlib import Path
from typing import Any

import pytest
from pooling_models import ENCODER
from transformers import BertConfig, LlamaConfig

from paddock.engine.config import ModelConfig, parse_serve
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.plan import PoolingPlan
from paddock.engine.settings import EngineSettings, SettingsError

ST = "sentence_transformers.models"


def checkpoint(folder: Path, architecture: str, **fields: Any) -> Path:
    """Its configuration alone."""
    kind = LlamaConfig if architecture.startswith("Llama") else BertConfig
    config = kind(**ENCODER).to_dict() | {"architectures": [architecture]} | fields
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def sentence_transformer(folder: Path, *kinds: str, mode: str = "pooling_mode_mean_tokens") -> None:
    modules = [{"idx": i, "path": "1_Pooling" if "Pool" in kind else "", "type": f"{ST}.{kind}"}
               for i, kind in enumerate(kinds)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 64, mode: True}))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 100}')


def plan(folder: Path, **model: Any) -> PoolingPlan | None:
    return ModelShape.read(folder, ModelConfig(**model)).pooling


@pytest.mark.parametrize(
    ("architecture", "arguments", "expected"),
    [
        ("LlamaForCausalLM", {}, None),
        ("LlamaForCausalLM", {"convert": "none"}, None),
        ("LlamaForCausalLM", {"runner": "generate"}, None),
        ("LlamaForCausalLM", {"runner": "pooling"}, ("embed", "LAST", "none")),
        ("LlamaForCausalLM", {"convert": "embed"}, ("embed", "LAST", "none")),
        ("LlamaForCausalLM", {"convert": "classify"}, ("classify", "LAST", "score")),
        ("LlamaForCausalLM", {"convert": "reward"}, ("reward", "ALL", "score")),
        ("LlamaModel", {}, ("embed", "LAST", "none")),
        ("LlamaForSequenceClassification", {}, ("classify", "LAST", "score")),
        ("LlamaForSequenceClassification", {"convert": "embed"}, ("embed", "LAST", "none")),
        ("BertModel", {}, ("embed", "CLS", "none")),
        ("BertForMaskedLM", {"pooler_config": {"pooling_type": "MEAN"}}, ("embed", "MEAN", "none")),
        ("BertForSequenceClassification", {}, ("classify", "CLS", "bert")),
    ],
)
def test_auto_goes_by_the_architecture_and_arguments_go_before_it(
    architecture: str, arguments: dict[str, Any], expected: tuple[str, str, str] | None, tmp_path: Path
) -> None:
    found = plan(checkpoint(tmp_path, architecture), **arguments)
    assert (found and (found.task, found.pooling, found.head)) == expected


def test_the_files_of_sentence_transformers_decide_for_auto(tmp_path: Path) -> None:
    sentence_transformer(checkpoint(tmp_path, "LlamaForCausalLM"), "Transformer", "Pooling")
    found = plan(tmp_path)
    assert found is not None
    assert (found.task, found.pooling, found.normalize, found.longest_input) == ("embed", "MEAN", False, 100)

    asked = plan(tmp_path, pooler_config={"normalize": True, "pooling_type": "CLS", "dimensions": 8})
    assert asked is not None
    assert (asked.pooling, asked.normalize, asked.dimensions) == ("CLS", True, 8)


def test_the_context_is_what_the_model_was_trained_for_and_can_be_asked_up_to_its_positions(
    tmp_path: Path,
) -> None:
    sentence_transformer(checkpoint(tmp_path, "BertModel"), "Transformer", "Pooling", "Normalize")
    assert settings(tmp_path).max_model_len == 100
    assert settings(tmp_path, "--max-model-len", "130").max_model_len == 130
    with pytest.raises(SettingsError, match="--max-model-len 131"):
        settings(tmp_path, "--max-model-len", "131")


def test_robertas_first_rows_of_positions_are_no_tokens(tmp_path: Path) -> None:
    checkpoint(tmp_path, "RobertaModel", pad_token_id=1)
    assert settings(tmp_path).max_model_len == 128


def settings(folder: Path, *words: str) -> EngineSettings:
    config = parse_serve([str(folder), *words], {})
    return EngineSettings.resolve(config, ModelShape.read(folder, config.model))


@pytest.mark.parametrize(
    ("architecture", "arguments", "words"),
    [
        ("FalconForCausalLM", {"runner": "pooling"}, "no code for architecture 'FalconForCausalLM'"),
        ("LlamaForCausalLM", {"runner": "pooling", "convert": "none"}, "--convert embed, classify or reward"),
        ("BertModel", {"convert": "classify"}, "ForSequenceClassification"),
        ("BertForSequenceClassification", {"convert": "reward"}, "--convert classify"),
        ("BertModel", {"pooler_config": {"softmax": True}}, "softmax has no effect"),
        ("BertModel", {"pooler_config": {"pooling_type": "STEP"}}, "step_tag_id need each other"),
        ("LlamaForSequenceClassification", {"pooler_config": {"pooling_type": "ALL"}}, "does not go with classify"),
    ],
)  # fmt: skip
def test_what_a_checkpoint_cannot_do_is_refused_with_what_to_do(
    architecture: str, arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words):
        plan(checkpoint(tmp_path, architecture), **arguments)


def test_positions_that_are_not_learned_are_refused_by_the_key(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="position_embedding_type is 'relative_key'"):
        plan(checkpoint(tmp_path, "BertModel", position_embedding_type="relative_key"))


@pytest.mark.parametrize(
    ("kinds", "mode", "words"),
    [
        (("Transformer", "Pooling", "Dense"), "pooling_mode_mean_tokens", "module 'Dense' is not supported"),
        (("Transformer", "Pooling"), "pooling_mode_max_tokens", "pooling_mode_max_tokens is set"),
    ],
)
def test_modules_that_are_not_computed_are_refused(
    kinds: tuple[str, ...], mode: str, words: str, tmp_path: Path
) -> None:
    sentence_transformer(checkpoint(tmp_path, "BertModel"), *kinds, mode=mode)
    with pytest.raises(CheckpointError, match=words):
        plan(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ("--enable-chunked-prefill",),
        ("--enable-prefix-caching",),
        ("--kv-cache-memory-bytes", "1G"),
        ("--pipeline-parallel-size", "2"),
        ("--logits-processors", "a.B"),
        ("--scheduler-cls", "a.B"),
        ("--pooler-config", '{"dimensions": 65}'),
    ],
)
def test_arguments_that_an_encoder_has_no_use_for_are_refused_by_name(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    checkpoint(tmp_path, "BertModel")
    with pytest.raises(SettingsError, match=words[0]):
        settings(tmp_path, *words)


def test_a_pooler_config_is_refused_where_the_model_generates(tmp_path: Path) -> None:
    checkpoint(tmp_path, "LlamaForCausalLM")
    with pytest.raises(SettingsError, match="--pooler-config is for --runner pooling"):
        settings(tmp_path, "--pooler-config", '{"normalize": false}')
