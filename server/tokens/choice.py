"""Which tokenizer serves a model."""

from pathlib import Path

from paddock.engine.config import ModelConfig
from paddock.server.tokens.absent import NoTokenizer
from paddock.server.tokens.tokenizer import Tokenizer


def load_tokenizer(model: ModelConfig, folder: Path) -> Tokenizer:
    """Raises TokenizerError when the folder has none that can be used."""
    return NoTokenizer(folder) if model.skip_tokenizer_init else Tokenizer(folder)
