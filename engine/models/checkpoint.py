"""Where a model's files are: a local folder, or a repository of the Hugging Face hub downloaded to the cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.hf_config import CONFIG_FILE, TOKENIZER_CONFIG_FILE, read_json
from paddock.engine.models.hub import Repository
from paddock.engine.models.remote_code import (
    CODE_FILES,
    auto_map,
    check_code_revision,
    tokenizer_classes,
)
from paddock.engine.weights.options import LoadOptions

if TYPE_CHECKING:
    from paddock.engine.config import LoadConfig, ModelConfig

CONFIG_FILES = ["*.json", "*.model", "*.txt", "*.jinja"]
SAFETENSORS = ["*.safetensors"]
MISTRAL_FILES = ["consolidated*.safetensors"]
PICKLED = ["*.bin", "*.pt"]
WITH_CODE = [*CODE_FILES, "*.tiktoken"]
"""What `--trust-remote-code` adds: the code, and the vocabulary that is read by code alone."""


class Downloadable(Protocol):
    """A repository, or what stands for one."""

    def download(self, patterns: list[str], ignored: tuple[str, ...] = ()) -> Path:
        """The folder with the files that match."""


def resolve_model(model: "ModelConfig", load: "LoadConfig") -> Path:
    """The folder of the model's files, downloaded with a progress bar when `model.model` is a hub repository.

    Raises `CheckpointError` when the folder is missing or the download is not possible.
    """
    options = LoadOptions.read(load)
    if not model.model:
        raise CheckpointError("no model is given; name a local folder or a Hugging Face repository.")
    source = _repository(model.model, "model", model.revision, "--revision", model, load)
    local = source.folder()
    folder = local or download_model(source, options, trust_remote_code=model.trust_remote_code)
    if model.code_revision is not None:
        check_code_revision(model, _code_references(folder), local=local is not None)
    return folder


def _config_files(trust_remote_code: bool) -> list[str]:
    return CONFIG_FILES + WITH_CODE if trust_remote_code else CONFIG_FILES


def _code_references(folder: Path) -> list[str]:
    """All that the model's files say of code of its own."""
    found: list[str | None] = []
    for name, classes in ((CONFIG_FILE, _model_classes), (TOKENIZER_CONFIG_FILE, tokenizer_classes)):
        if (folder / name).is_file():
            found += classes(read_json(folder / name), str(folder / name))
    return [each for each in found if each is not None]


def _model_classes(fields: Mapping[str, Any], source: str) -> tuple[str, ...]:
    return tuple(auto_map(fields, source).values())


def resolve_tokenizer(model: "ModelConfig", load: "LoadConfig", model_path: Path) -> Path:
    """The folder of the tokenizer, which is found like a model, but for the weights. Raises `CheckpointError`."""
    if model.tokenizer is None and model.tokenizer_revision is None:
        return model_path
    name = model.tokenizer or model.model
    source = _repository(name, "--tokenizer", model.tokenizer_revision, "--tokenizer-revision", model, load)
    return source.folder() or source.download(_config_files(model.trust_remote_code))


def resolve_config_path(model: "ModelConfig", load: "LoadConfig") -> "ModelConfig":
    """The same arguments, with `hf_config_path` a local path also when a hub repository was named."""
    name = model.hf_config_path
    if name is None or Path(name).expanduser().exists():
        return model
    source = _repository(name, "--hf-config-path", None, "", model, load)
    folder = source.folder() or source.download(CONFIG_FILES)
    return model.model_copy(update={"hf_config_path": str(folder)})


def _repository(
    name: str,
    flag: str,
    revision: str | None,
    revision_flag: str,
    model: "ModelConfig",
    load: "LoadConfig",
) -> Repository:
    ignored = LoadOptions.read(load).ignore_patterns
    return Repository(name, flag, revision, revision_flag, model.hf_token, load.download_dir, ignored)


def download_model(source: Downloadable, options: LoadOptions, *, trust_remote_code: bool) -> Path:
    """No more than the load format reads: a repository may hold the same weights in several layouts."""
    config_files = _config_files(trust_remote_code)
    match options.load_format:
        case "dummy":
            return source.download(config_files)
        case "mistral":
            return source.download(config_files + MISTRAL_FILES)
        case "pt" | "npcache":
            return source.download(config_files + PICKLED)
        case "sharded_state":
            ranks = options.shard_pattern.format(rank="*", part="*")
            return source.download([*config_files, ranks])
        case "safetensors":
            return source.download(config_files + SAFETENSORS, tuple(MISTRAL_FILES))
    folder = source.download(config_files + SAFETENSORS, tuple(MISTRAL_FILES))
    for patterns in (MISTRAL_FILES, PICKLED):
        if any(folder.glob("*.safetensors")):
            return folder
        folder = source.download(config_files + patterns)
    return folder
