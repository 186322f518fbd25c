"""Models that bring their own Python code: what a repository with auto_map holds."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

CONFIGURATION = """
from transformers import LlamaConfig


class OwnConfig(LlamaConfig):
    model_type = "paddocks_own"

    def __init__(self, sign=1.0, **kwargs):
        super().__init__(**kwargs)
        self.sign = sign
"""

MODELLING = """
from transformers import LlamaForCausalLM

from .configuration_own import OwnConfig

SCALE = {scale}


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * self.config.sign * SCALE
        return output
"""

TOKENIZER = """
from transformers import PreTrainedTokenizer


class OwnTokenizer(PreTrainedTokenizer):
    def __init__(self, **kwargs):
        kwargs.setdefault("eos_token", "<end>")
        super().__init__(**kwargs)

    @property
    def vocab_size(self):
        return 90

    def get_vocab(self):
        return {{self._convert_id_to_token(i): i for i in range(90)}} | self.added_tokens_encoder

    def _tokenize(self, text):
        return list({change})

    def _convert_token_to_id(self, token):
        return ord(token) - 32 if 32 <= ord(token) < 122 else 0

    def _convert_id_to_token(self, index):
        return chr(index + 32)

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens)
"""

AUTO_MAP = {
    "AutoConfig": "configuration_own.OwnConfig",
    "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
}


@cache
def modules_folder() -> Path:
    """One for all tests of a process: Python imports a package of modules from one place only."""
    folder = Path(tempfile.mkdtemp(prefix="test-modules-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_model(folder: Path, *, scale: float = 1.0, auto_map: dict[str, str] | None = None) -> None:
    """A tiny random Llama that only its own code names; `scale` multiplies the logits in the code itself."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=101,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        eos_token_id=None,
    )
    LlamaForCausalLM._from_config(config, dtype=torch.float32).save_pretrained(folder)
    change(
        folder / "config.json",
        architectures=["OwnForCausalLM"],
        model_type="paddocks_own",
        auto_map=AUTO_MAP if auto_map is None else auto_map,
    )
    write_code(folder, scale)


def write_code(folder: Path, scale: float = 1.0) -> None:
    (folder / "configuration_own.py").write_text(CONFIGURATION)
    (folder / "modeling_own.py").write_text(MODELLING.format(scale=scale))


def write_tokenizer(folder: Path, change: str = "text") -> None:
    """One token for each character from the space on; `change` is the expression that is split."""
    fields = {"auto_map": {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}, "eos_token": "<end>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
    (folder / "tokenization_own.py").write_text(TOKENIZER.format(change=change))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
