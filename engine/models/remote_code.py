"""Python code that a model's repository brings: what auto_map names, and where it is. Nothing is run here. Torch-free."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.hub import Repository, is_repository

if TYPE_CHECKING:
    from paddock.engine.config import ModelConfig

CODE_FILES = ["*.py"]

MODEL, CONFIG, TOKENIZER = "AutoModelForCausalLM", "AutoConfig", "AutoTokenizer"
"""Keys of auto_map."""

NAME = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
"""`module.Class`; the module is a file beside config.json."""


@dataclass(frozen=True)
class TrustedCode:
    """Whose code may run, by `--trust-remote-code` and `--code-revision`."""

    repository: str
    """As the model was named: a hub repository or a folder."""

    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)

    @staticmethod
    def given(model: "ModelConfig") -> "TrustedCode | None":
        """None unless the flag is given."""
        if not model.trust_remote_code:
            return None
        return TrustedCode(model.model, model.code_revision, model.hf_token)

    def locate(self, reference: str, folder: Path, download_dir: str | None) -> tuple[Path, str]:
        """The folder with the code that auto_map refers to, downloaded if need be, and `module.Class` in it.

        `folder` is that of the model. Raises `CheckpointError`.
        """
        elsewhere, _, name = reference.rpartition("--")
        if not elsewhere and self.revision is None:
            return folder, name
        source = Repository(
            elsewhere or self.repository,
            "code of",
            self.revision,
            "--code-revision",
            self.token,
            download_dir,
        )
        return source.download(CODE_FILES), name


def auto_map(fields: Mapping[str, Any], source: str) -> dict[str, str]:
    """The classes of config.json's auto_map, by transformers' name for their use. Raises `CheckpointError`."""
    stated = fields.get("auto_map")
    if not isinstance(stated, Mapping):
        return {}
    return {
        use: reference(stated[use], f"{source}: auto_map.{use}") for use in (CONFIG, MODEL) if stated.get(use)
    }


def tokenizer_classes(fields: Mapping[str, Any], source: str) -> tuple[str | None, str | None]:
    """The Python and the fast tokenizer that tokenizer_config.json's auto_map names. Raises `CheckpointError`."""
    stated = fields.get("auto_map")
    pair = stated.get(TOKENIZER) if isinstance(stated, Mapping) else stated
    if pair is None:
        return None, None
    where = f"{source}: auto_map.{TOKENIZER}"
    if isinstance(pair, str):
        pair = [pair, None]
    if not isinstance(pair, list) or len(pair) != 2:
        raise CheckpointError(
            f"{where} is {str(pair)[:80]!r}; expected a Python and a fast tokenizer's class."
        )
    python, fast = (each and reference(each, where) for each in pair)
    return python or None, fast or None


def reference(value: object, where: str) -> str:
    """A well-formed `module.Class` or `owner/name--module.Class`. Raises `CheckpointError`."""
    repository, separator, name = value.rpartition("--") if isinstance(value, str) else ("", "", "")
    if not NAME.fullmatch(name) or (separator and not is_repository(repository)):
        raise CheckpointError(
            f"{where} is {str(value)[:80]!r}; expected module.Class, or owner/repository--module.Class."
        )
    return str(value)


def check_code_revision(model: "ModelConfig", references: list[str], *, local: bool) -> None:
    """Refuses a `--code-revision` that would choose nothing. Raises `CheckpointError`."""
    if model.code_revision is None:
        return
    named = f"--code-revision {model.code_revision!r}"
    if local and not any("--" in each for each in references):
        raise CheckpointError(
            f"{named} chooses a revision of a hub repository, and model {model.model!r} is a local folder; leave it out."
        )
    if not references:
        raise CheckpointError(
            f"{named} chooses a revision of the model's code, and {model.model!r} brings none (config.json and "
            "tokenizer_config.json have no auto_map); leave it out."
        )


def refusal(architecture: str, code: str, source: str) -> CheckpointError:
    """For a model that needs its own code, without the flag."""
    return CheckpointError(
        f"{source}: {architecture} is code of the model's own repository ({code}), which runs only with "
        "--trust-remote-code; read that code, and give the flag if you trust it."
    )
