"""A model's configuration as its files state it, with what the command line lays over it. Torch-free."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.mistral_config import PARAMS_FILE, translate_params
from paddock.engine.models.rope_override import override_rope, rope_given

if TYPE_CHECKING:
    from paddock.engine.config import ModelConfig

CONFIG_FILE = "config.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def read_model_config(path: Path, model: "ModelConfig") -> tuple[dict[str, Any], str]:
    """The keys of the model at `path` under their Hugging Face names, and the file to name in errors.

    The file is config.json, or params.json of Mistral's own layout, in `path` or where `--hf-config-path` says; over
    it lie `--hf-overrides`, then `--rope-scaling` and `--rope-theta`. Raises `CheckpointError`.
    """
    folder, name = config_location(path, model)
    file = folder / name
    fields = read_json(file)
    if name == PARAMS_FILE:
        fields = translate_params(fields, str(file))
    given = dict(model.hf_overrides)
    rope = rope_given(given, model)
    fields = merged(fields, given, "")
    return (override_rope(fields, rope, str(file)) if rope else fields), str(file)


def config_location(path: Path, model: "ModelConfig") -> tuple[Path, str]:
    """The folder and the name of the configuration file. auto prefers config.json where both are."""
    folder = path
    if model.hf_config_path is not None:
        folder = Path(model.hf_config_path).expanduser()
        if folder.is_file():
            return folder.parent, folder.name
        if not folder.is_dir():
            raise CheckpointError(
                f"--hf-config-path {model.hf_config_path!r} is no folder; name one that holds the configuration."
            )
    if model.config_format == "mistral":
        return folder, PARAMS_FILE
    only_params = not (folder / CONFIG_FILE).exists() and (folder / PARAMS_FILE).exists()
    return folder, PARAMS_FILE if only_params and model.config_format == "auto" else CONFIG_FILE


def merged(fields: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`given` laid over `fields`, object by object; anything else is replaced whole. Raises `CheckpointError`."""
    result = dict(fields)
    for key, value in given.items():
        present = result.get(key)
        if isinstance(present, Mapping) and isinstance(value, Mapping):
            result[key] = merged(present, value, f"{where}{key}.")
        elif isinstance(present, Mapping) and value is not None:
            raise CheckpointError(
                f"--hf-overrides: {where}{key} is {str(value)[:80]!r}, and the model's configuration has an object "
                "there; give an object, or null to remove it."
            )
        else:
            result[key] = value
    return result


def read_json(file: Path) -> dict[str, Any]:
    """The object in `file`. Raises `CheckpointError`."""
    if not file.parent.is_dir():
        raise CheckpointError(
            f"model folder {str(file.parent)!r} does not exist; check the path, or that its volume is mounted."
        )
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{str(file.parent)!r} holds no {file.name}; a Hugging Face checkpoint folder is expected."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: cannot be read as JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise CheckpointError(f"{file}: expected a JSON object, found {type(fields).__name__}.")
    return fields
