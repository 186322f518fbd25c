"""What the files of a sentence-transformers checkpoint say beside config.json. Torch-free."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.hf_config import read_json
from paddock.engine.pooling.params import PoolingType

MODULES_FILE = "modules.json"
LENGTH_FILES = (
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
    "sentence_xlm-roberta_config.json",
)  # fmt: skip
MODES: dict[str, PoolingType] = {
    "pooling_mode_cls_token": "CLS",
    "pooling_mode_mean_tokens": "MEAN",
    "pooling_mode_lasttoken": "LAST",
}
"""Keys of 1_Pooling/config.json that the engine computes, and the only ones that may be true."""


@dataclass(frozen=True)
class SentenceTransformer:
    pooling: PoolingType | None = None
    normalize: bool = False
    longest_input: int | None = None
    """Tokens that the model was trained for; None where the files do not say."""

    @staticmethod
    def read(folder: Path) -> "SentenceTransformer | None":
        """None where the checkpoint is not of that library. Raises `CheckpointError`."""
        file = folder / MODULES_FILE
        if not file.is_file():
            return None
        pooling, normalize = None, False
        for kind, path in _modules(file):
            if kind == "Pooling":
                pooling = _mode(folder / path / "config.json")
            elif kind == "Normalize":
                normalize = True
            elif kind != "Transformer":
                raise CheckpointError(
                    f"{file}: module {kind!r} is not supported; models of Transformer, Pooling and Normalize are."
                )
        return SentenceTransformer(pooling, normalize, _longest_input(folder))


def _modules(file: Path) -> list[tuple[str, str]]:
    """(class, folder) of each, in order. The file holds a list."""
    try:
        modules = json.loads(file.read_text(encoding="utf-8"))
        return [(str(each["type"]).rpartition(".")[2], str(each.get("path", ""))) for each in modules]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{file}: expected a list of modules with type and path ({error}); download the file again."
        ) from None


def _mode(file: Path) -> PoolingType:
    fields = read_json(file)
    chosen = [name for name, value in fields.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in MODES:
        raise CheckpointError(
            f"{file}: {' and '.join(chosen) or 'no pooling mode'} is set; one of {', '.join(MODES)} is supported. "
            "--pooler-config chooses another."
        )
    if fields.get("include_prompt") is False:
        raise CheckpointError(f"{file}: include_prompt false is not supported; only true is.")
    return MODES[chosen[0]]


def _longest_input(folder: Path) -> int | None:
    for name in LENGTH_FILES:
        if (folder / name).is_file():
            value: Any = read_json(folder / name).get("max_seq_length")
            return value if isinstance(value, int) and value > 0 else None
    return None
