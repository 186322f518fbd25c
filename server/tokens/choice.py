"""Which tokenizer serves a model."""

from pathlib import Path

from paddock.engine.config import ModelConfig
from paddock.engine.models.remote_code import TrustedCode, tokenizer_classes
from paddock.server.tokens.absent import NoTokenizer
from paddock.server.tokens.tokenizer import Tokenizer, read_tokenizer_config


def load_tokenizer(model: ModelConfig, folder: Path, download_dir: str | None = None) -> Tokenizer:
    """Raises TokenizerError when the folder has none that can be used, or CheckpointError for code that cannot be had.

    A tokenizer in Python brings transformers, and torch with it, into this process; any other does not.
    """
    if model.skip_tokenizer_init:
        return NoTokenizer(folder)
    slow = model.tokenizer_mode == "slow"
    code = _code(model)
    reference = None if code is None else _own_class(folder, slow)
    if code is not None and reference is not None:
        from paddock.server.tokens.python_tokenizer import load_custom

        return load_custom(folder, *code.locate(reference, folder, download_dir))
    if slow:
        from paddock.server.tokens.python_tokenizer import load_slow

        return load_slow(folder)
    return Tokenizer(folder)


def _own_class(folder: Path, slow: bool) -> str | None:
    """As transformers chooses: the fast class where there is one, unless the other is asked for."""
    fields = read_tokenizer_config(folder)
    python, fast = tokenizer_classes(fields, str(folder / "tokenizer_config.json"))
    return python or fast if slow else fast or python


def _code(model: ModelConfig) -> TrustedCode | None:
    """`--code-revision` is of the model's repository: a tokenizer from elsewhere has the code that came with it."""
    elsewhere = model.tokenizer is not None or model.tokenizer_revision is not None
    return TrustedCode.given(model.model_copy(update={"code_revision": None}) if elsewhere else model)
