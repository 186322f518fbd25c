"""Where a model's files are: a local folder, or a repository of the Hugging Face hub downloaded to the cache."""

from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.models.errors import CheckpointError

if TYPE_CHECKING:
    from paddock.engine.config import LoadConfig, ModelConfig

CONFIG_FILES = ["*.json", "*.model", "*.txt", "*.jinja"]
WEIGHT_FILES = ["*.safetensors"]


def resolve_model(model: "ModelConfig", load: "LoadConfig") -> Path:
    """The folder of the model's files, downloaded with a progress bar when `model.model` is a hub repository.

    Raises `CheckpointError` when the folder is missing or the download is not possible.
    """
    name = model.model
    if not name:
        raise CheckpointError("no model is given; name a local folder or a Hugging Face repository.")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"model {name!r} is a file; a checkpoint folder is expected.")
    if not _is_repository(name):
        raise CheckpointError(
            f"model folder {name!r} does not exist; check the path, or that its volume is mounted."
        )
    return _download(name, model, load)


def _is_repository(name: str) -> bool:
    """`owner/name`: a path that is absolute, relative by a dot, or deeper is meant as a folder."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "~"))


def _download(name: str, model: "ModelConfig", load: "LoadConfig") -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # Random weights need the configuration and the tokenizer only.
    patterns = CONFIG_FILES if load.load_format == "dummy" else CONFIG_FILES + WEIGHT_FILES
    token = model.hf_token if isinstance(model.hf_token, str | bool) else None
    try:
        folder = snapshot_download(
            name, revision=model.revision, cache_dir=load.download_dir, allow_patterns=patterns, token=token
        )
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"model {name!r} is neither a local folder nor downloadable: the hub cannot be reached. "
            "Mount the model and give its path, or allow the download."
        ) from None
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"model {name!r} cannot be downloaded: {reason}.") from None
    return Path(folder)
