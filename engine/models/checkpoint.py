"""Where a model's files are: a local folder, or a repository of the Hugging Face hub downloaded to the cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.options import LoadOptions

if TYPE_CHECKING:
    from paddock.engine.config import LoadConfig, ModelConfig

CONFIG_FILES = ["*.json", "*.model", "*.txt", "*.jinja"]
SAFETENSORS = ["*.safetensors"]
MISTRAL_FILES = ["consolidated*.safetensors"]
PICKLED = ["*.bin", "*.pt"]


@dataclass(frozen=True)
class Repository:
    """A name that a user gave for files of some kind, and how to fetch them when it is one of the hub's."""

    name: str
    flag: str
    """What to call it in errors."""

    revision: str | None
    revision_flag: str
    token: str | bool | None
    cache_dir: str | None
    ignored: tuple[str, ...]

    def folder(self) -> Path | None:
        """The local folder of this name; None for a hub repository. Raises `CheckpointError`."""
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            if self.revision is not None:
                raise CheckpointError(
                    f"{self.revision_flag} {self.revision!r} chooses a revision of a hub repository, and {self.flag} "
                    f"{self.name!r} is a local folder; leave it out."
                )
            return folder
        if folder.exists():
            raise CheckpointError(f"{self.flag} {self.name!r} is a file; a checkpoint folder is expected.")
        if not _is_repository(self.name):
            raise CheckpointError(
                f"{self.flag} folder {self.name!r} does not exist; check the path, or that its volume is mounted."
            )
        return None

    def download(self, patterns: list[str], ignored: tuple[str, ...] = ()) -> Path:
        """The folder in the hub's cache, files already there included. Raises `CheckpointError`."""
        from httpx2 import HTTPError  # the hub's own client, whose errors it lets through
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError

        try:
            folder = snapshot_download(
                self.name,
                revision=self.revision,
                cache_dir=self.cache_dir,
                allow_patterns=patterns,
                ignore_patterns=[*self.ignored, *ignored],
                token=self.token,
            )
        except LocalEntryNotFoundError:
            raise CheckpointError(
                f"{self.flag} {self.name!r} is neither a local folder nor downloadable: the hub cannot be reached. "
                "Mount the model and give its path, or allow the download."
            ) from None
        except RevisionNotFoundError:
            raise CheckpointError(
                f"{self.flag} {self.name!r} has no revision {self.revision or 'main'!r}; give a branch, a tag or a commit "
                f"of it with {self.revision_flag}."
            ) from None
        except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.flag} {self.name!r} cannot be downloaded: {_reason(error)}."
            ) from None
        return Path(folder)


def resolve_model(model: "ModelConfig", load: "LoadConfig") -> Path:
    """The folder of the model's files, downloaded with a progress bar when `model.model` is a hub repository.

    Raises `CheckpointError` when the folder is missing or the download is not possible.
    """
    options = LoadOptions.read(load)
    if not model.model:
        raise CheckpointError("no model is given; name a local folder or a Hugging Face repository.")
    source = _repository(model.model, "model", model.revision, "--revision", model, load)
    return source.folder() or _download_weights(source, options)


def resolve_tokenizer(model: "ModelConfig", load: "LoadConfig", model_path: Path) -> Path:
    """The folder of the tokenizer, which is found like a model, but for the weights. Raises `CheckpointError`."""
    if model.tokenizer is None and model.tokenizer_revision is None:
        return model_path
    name = model.tokenizer or model.model
    source = _repository(name, "--tokenizer", model.tokenizer_revision, "--tokenizer-revision", model, load)
    return source.folder() or source.download(CONFIG_FILES)


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


def _is_repository(name: str) -> bool:
    """`owner/name`: a path that is absolute, relative by a dot, or deeper is meant as a folder."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "~"))


def _download_weights(source: Repository, options: LoadOptions) -> Path:
    """No more than the load format reads: a repository may hold the same weights in several layouts."""
    match options.load_format:
        case "dummy":
            return source.download(CONFIG_FILES)
        case "mistral":
            return source.download(CONFIG_FILES + MISTRAL_FILES)
        case "pt" | "npcache":
            return source.download(CONFIG_FILES + PICKLED)
        case "sharded_state":
            ranks = options.shard_pattern.format(rank="*", part="*")
            return source.download([*CONFIG_FILES, ranks])
        case "safetensors":
            return source.download(CONFIG_FILES + SAFETENSORS, tuple(MISTRAL_FILES))
    folder = source.download(CONFIG_FILES + SAFETENSORS, tuple(MISTRAL_FILES))
    for patterns in (MISTRAL_FILES, PICKLED):
        if any(folder.glob("*.safetensors")):
            return folder
        folder = source.download(CONFIG_FILES + patterns)
    return folder


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
