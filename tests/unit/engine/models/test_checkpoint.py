"""A model is a folder, or a repository of the hub; what cannot be reached is said so."""

import pytest

from paddock.engine.config.load import LoadConfig
from paddock.engine.config.model import ModelConfig
from paddock.engine.models.checkpoint import resolve_model
from paddock.engine.models.errors import CheckpointError


def resolve(name):
    return resolve_model(ModelConfig(model=name), LoadConfig())


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["/nowhere/model", "./model", "a/b/c", "model"])
def test_a_path_that_does_not_exist_is_not_looked_up_on_the_hub(name):
    with pytest.raises(CheckpointError, match=f"model folder '{name}' does not exist; check the path"):
        resolve(name)


def test_a_file_is_not_a_checkpoint(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()

    with pytest.raises(CheckpointError, match="is a file; a checkpoint folder is expected"):
        resolve(str(file))


def test_a_repository_without_a_hub_says_what_to_do(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(
        CheckpointError, match=r"'owner/model' .*Mount the model and give its path|cannot be downloaded"
    ):
        resolve("owner/model")
