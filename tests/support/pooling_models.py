"""Random checkpoints of models that pool, small, and the way through the engine to their results."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_families import CONFIGS, VOCAB
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.choice import make_executor
from paddock.engine.messages import AddRequest, RequestOutput
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.params import PoolingParams
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

NUM_LABELS = 3
ENCODER: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 3,
    "num_attention_heads": 4, "max_position_embeddings": 130,
}  # fmt: skip
ENCODERS = {
    "bert": lambda: BertConfig(**ENCODER),
    "bert-relu": lambda: BertConfig(**ENCODER, hidden_act="relu", layer_norm_eps=1e-6),
    "roberta": lambda: RobertaConfig(**ENCODER, type_vocab_size=1),
    "xlm-roberta": lambda: XLMRobertaConfig(**ENCODER, type_vocab_size=1),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=VOCAB, dim=64, hidden_dim=112, n_layers=3, n_heads=4, max_position_embeddings=130
    ),
}
DECODERS = ("llama-tied-llama3-rope", "mistral-window", "qwen3-tied-bias", "gemma2", "gpt2", "opt")
MORE_DECODERS = ("qwen2", "gemma3", "phi3", "mixtral", "qwen3-moe", "deepseek-v3", "gpt-oss")
"""Their bodies are proved where they generate."""


@dataclass
class PoolingCheckpoint:
    path: Path
    oracle: Any

    def engine(
        self, model: dict[str, Any] | None = None, parallel: dict[str, Any] | None = None, **changes: Any
    ) -> "PoolingEngine":
        return PoolingEngine(self.path, model or {}, changes, parallel or {})

    @torch.inference_mode()
    def states(self, token_ids: Sequence[int], **inputs: Any) -> torch.Tensor:
        """Of the body, float32 `[tokens, hidden]`."""
        states: torch.Tensor = self.oracle.base_model(
            torch.tensor([list(token_ids)]), **inputs
        ).last_hidden_state
        return states[0]

    @torch.inference_mode()
    def logits(self, token_ids: Sequence[int], **inputs: Any) -> np.ndarray:
        values: np.ndarray = self.oracle(torch.tensor([list(token_ids)]), **inputs).logits[0].numpy()
        return values


@dataclass
class PoolingEngine:
    """An engine core for a checkpoint; `model` and `parallel` are arguments, `changes` values in force."""

    path: Path
    model: dict[str, Any]
    changes: dict[str, Any]
    parallel: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, RequestOutput] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = ServeConfig.model_validate({"model": self.model, "parallel": self.parallel})
        shape = ModelShape.read(self.path, config.model)
        pooling = shape.pooling
        assert pooling is not None
        self.plan = pooling
        values: dict[str, Any] = {
            "max_model_len": 128,
            "dtype": "float32",
            "vocab_size": shape.vocab_size,
            "eos_token_ids": (),
            "block_size": 8,
            "max_num_seqs": 8,
            "max_num_batched_tokens": 128,
            "max_waiting": 100,
            "device": "cpu",
            "num_gpu_blocks_override": 200,
            "enable_prefix_caching": pooling.causal,
            "enable_chunked_prefill": pooling.causal,
            "pooling": pooling,
        }
        settings = EngineSettings(**(values | self.changes))
        self.core = EngineCore(make_executor(settings, config, shape, self.path), settings)

    def results(self, inputs: Sequence[Sequence[int]], params: PoolingParams) -> list[np.ndarray]:
        """`[rows, width]` of each input, all of them asked for at once."""
        first = len(self.outputs)
        for index, token_ids in enumerate(inputs):
            message = AddRequest(
                str(first + index), list(token_ids), SamplingParams(max_tokens=1), 0.0, pooling=params
            )
            assert self.core.add(message) is None
        while self.core.has_work:
            for outputs in self.core.step().values():
                self.outputs |= {output.request_id: output for output in outputs}
        self.core.check_integrity()
        return [rows_of(self.outputs[str(first + index)]) for index in range(len(inputs))]

    def vectors(self, inputs: Sequence[Sequence[int]], params: PoolingParams) -> np.ndarray:
        """`[inputs, width]`."""
        return np.concatenate(self.results(inputs, params))


def rows_of(output: RequestOutput) -> np.ndarray:
    assert output.pooled is not None, output.error
    return np.frombuffer(output.pooled.values, "<f4").reshape(-1, output.pooled.width)


def make_classifier(name: str, path: Path) -> PoolingCheckpoint:
    """A head of class scores on a random body."""
    config = (ENCODERS.get(name) or CONFIGS[name])()
    config.num_labels = NUM_LABELS
    torch.manual_seed(len(name))
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
    _spread(model)
    model.save_pretrained(path)
    return PoolingCheckpoint(path, model)


def make_body(name: str, path: Path) -> PoolingCheckpoint:
    """A body alone."""
    torch.manual_seed(len(name))
    config = (ENCODERS.get(name) or CONFIGS[name])()
    # The layer for whole inputs that BERT's class adds is no part of the body here.
    extra = {"add_pooling_layer": False} if name in ENCODERS and name != "distilbert" else {}
    model = AutoModel.from_config(config, dtype=torch.float32, **extra).eval()
    _spread(model)
    model.save_pretrained(path)
    return PoolingCheckpoint(path, model)


def _spread(model: torch.nn.Module) -> None:
    """Weights wide enough that a wrong one shows."""
    for name, parameter in model.named_parameters():
        if "norm" in name.lower() and name.endswith("weight"):
            torch.nn.init.uniform_(parameter, 0.7, 1.3)
        else:
            torch.nn.init.normal_(parameter, std=0.2)


def random_inputs(seed: int = 3, longest: int = 120) -> list[list[int]]:
    """12 inputs of unlike lengths; every third shares a beginning of several blocks."""
    random = np.random.default_rng(seed)
    shared = random.integers(2, VOCAB, 30).tolist()
    lengths = [1, 2, 31, 32, 33, longest - 30, *random.integers(3, longest - 30, 6).tolist()]
    made = [random.integers(2, VOCAB, length).tolist() for length in lengths]
    return [shared + each if index % 3 == 0 else each for index, each in enumerate(made)]
