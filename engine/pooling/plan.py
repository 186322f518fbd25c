"""What a pooling model is for and how its results are made: config.json, its companions and the arguments. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paddock.engine.models.errors import CheckpointError
from paddock.engine.pooling.architectures import (
    Head,
    PoolingArchitecture,
    pooling_architecture,
    pooling_architectures,
)
from paddock.engine.pooling.classes import Activation, ClassScores
from paddock.engine.pooling.params import OF_EVERY_TOKEN, PoolingType
from paddock.engine.pooling.sentence_model import SentenceTransformer

if TYPE_CHECKING:
    from paddock.engine.config import ModelConfig
    from paddock.engine.config.structures import PoolerConfig

POSITIONS_FROM_PADDING = ("RobertaModel", "XLMRobertaModel")

Task = Literal["embed", "classify", "reward"]


@dataclass(frozen=True)
class PoolingPlan:
    """The values in force."""

    task: Task
    body: str
    causal: bool
    """Whether a token sees only those before it, so that inputs may be computed in chunks and prefixes be shared."""

    head: Head
    base_prefix: str
    pooling: PoolingType
    hidden_size: int
    normalize: bool = True
    dimensions: int | None = None
    """Of embeddings, where `--pooler-config` shortens them."""

    matryoshka: tuple[int, ...] | None = None
    """Dimensions that a request may choose; empty for any, None for none."""

    labels: tuple[str, ...] = ()
    """One for each score."""

    activation: Activation = "none"
    logit_bias: float = 0.0
    step_tag_id: int | None = None
    score_token_ids: tuple[int, ...] = ()
    """Vocabulary entries whose logits are the scores, with the head "tokens"."""

    longest_input: int | None = None
    """Tokens that the model was trained for; None where nothing says it."""

    tells_pairs: bool = False
    """Whether it has a vector for the tokens of a pair's second text."""

    position_offset: int = 0
    """Rows of the position table that no token uses."""

    in_pieces: bool = False
    """Longer inputs than the context are embedded in pieces, and the mean of these taken by their lengths."""

    max_embed_len: int | None = None

    @staticmethod
    def read(
        path: Path, architecture: str, fields: Mapping[str, Any], source: str, model: "ModelConfig"
    ) -> "PoolingPlan | None":
        """None for a model that generates. Raises `CheckpointError` when it cannot do what `model` asks."""
        known = pooling_architecture(architecture)
        sentences = SentenceTransformer.read(path) if _may_pool(model) else None
        if not _pools(known, sentences, model):
            return None
        if known is None or model.model_impl == "transformers":
            raise CheckpointError(
                f"{source}: the pooling runner has no code for architecture {architecture!r} with --model-impl "
                f"{model.model_impl}; it serves {', '.join(pooling_architectures())}."
            )
        _check_needs(known, fields, source)
        task = _task(known, sentences, model, source)
        return _resolved(task, known, sentences, fields, source, model)


def _may_pool(model: "ModelConfig") -> bool:
    return model.runner in ("auto", "pooling")


def _pools(
    known: PoolingArchitecture | None, sentences: SentenceTransformer | None, model: "ModelConfig"
) -> bool:
    """auto pools what cannot generate, what sentence-transformers made, and what is to be converted."""
    if model.runner != "auto":
        return model.runner == "pooling"
    if model.convert not in ("auto", "none"):
        return True
    return known is not None and (not known.generates or (sentences is not None and model.convert == "auto"))


def _check_needs(known: PoolingArchitecture, fields: Mapping[str, Any], source: str) -> None:
    unmet = known.family.unmet(fields)
    if unmet is not None:
        raise CheckpointError(
            f"{source}: {unmet} is {fields[unmet]!r}, and the engine's own {known.body} takes "
            f"{known.family.needs[unmet]!r} only; the pooling runner has no other code for it."
        )


def _task(
    known: PoolingArchitecture, sentences: SentenceTransformer | None, model: "ModelConfig", source: str
) -> Task:
    has_scores = known.head != "none"
    match model.convert:
        case "embed":
            return "embed"
        case "classify" | "reward" if not has_scores and not known.causal:
            raise CheckpointError(
                f"{source}: --convert {model.convert} needs a head of class scores, and an encoder of this "
                "architecture has none; serve its ...ForSequenceClassification checkpoint, or use --convert embed."
            )
        case "classify":
            return "classify"
        case "reward":
            return "reward"
        case "none" if known.generates:
            raise CheckpointError(
                f"{source}: --convert none leaves a model that generates as it is, and --runner pooling serves "
                "vectors; use --convert embed, classify or reward."
            )
    return "classify" if has_scores and sentences is None else "embed"


def _resolved(
    task: Task,
    known: PoolingArchitecture,
    sentences: SentenceTransformer | None,
    fields: Mapping[str, Any],
    source: str,
    model: "ModelConfig",
) -> PoolingPlan:
    asked = model.pooler_config
    pooling = _pooling_type(task, known, sentences, asked)
    head = _head(task, known, asked, source)
    token_ids = tuple(asked.returned_token_ids or ()) if asked is not None else ()
    scores = (
        ClassScores.of_tokens(token_ids)
        if head == "tokens"
        else ClassScores.read(fields, source)
        if head != "none"
        else ClassScores()
    )
    _check_pooler(asked, task, pooling, token_ids, head)
    normalize = True if sentences is None else sentences.normalize
    return PoolingPlan(
        task=task,
        body=known.body,
        causal=known.causal,
        head=head,
        base_prefix=known.base_prefix,
        pooling=pooling,
        hidden_size=int(known.family.canonical(fields).get("hidden_size") or 0),
        normalize=normalize if asked is None or asked.normalize is None else asked.normalize,
        dimensions=None if asked is None else asked.dimensions,
        matryoshka=_matryoshka(fields, source),
        labels=scores.labels,
        activation=scores.activation_asked(task, asked) if scores.labels else "none",
        logit_bias=(asked.logit_bias or 0.0) if asked is not None else 0.0,
        step_tag_id=None if asked is None else asked.step_tag_id,
        score_token_ids=token_ids if head == "tokens" else (),
        longest_input=None if sentences is None else sentences.longest_input,
        tells_pairs=_tells_pairs(known, fields),
        position_offset=_position_offset(known, fields),
        in_pieces=bool(asked and asked.enable_chunked_processing),
        max_embed_len=None if asked is None else asked.max_embed_len,
    )


def _pooling_type(
    task: Task,
    known: PoolingArchitecture,
    sentences: SentenceTransformer | None,
    asked: "PoolerConfig | None",
) -> PoolingType:
    if asked is not None and asked.pooling_type is not None:
        return asked.pooling_type
    if task == "reward":
        return "STEP" if asked is not None and asked.step_tag_id is not None else "ALL"
    if task == "embed" and sentences is not None and sentences.pooling is not None:
        return sentences.pooling
    return "LAST" if known.causal else "CLS"


def _head(task: Task, known: PoolingArchitecture, asked: "PoolerConfig | None", source: str) -> Head:
    if task == "embed":
        return "none"
    if known.head != "none":
        if task == "reward" and known.head != "score":
            raise CheckpointError(
                f"{source}: --convert reward scores every token, and the head of this encoder takes a whole "
                "input; use --convert classify."
            )
        return known.head
    if asked is not None and asked.returned_token_ids:
        return "tokens"
    return "score"


def _check_pooler(
    asked: "PoolerConfig | None", task: Task, pooling: PoolingType, token_ids: tuple[int, ...], head: Head
) -> None:
    """Each key must have an effect. Raises `CheckpointError`."""
    if asked is None:
        return
    faults = {
        "normalize": asked.normalize is not None and task != "embed",
        "dimensions": asked.dimensions is not None and task != "embed",
        "enable_chunked_processing": bool(asked.enable_chunked_processing) and task != "embed",
        "max_embed_len": asked.max_embed_len is not None and task != "embed",
        "activation": asked.activation is not None and task != "classify",
        "logit_bias": asked.logit_bias is not None and task == "embed",
        "softmax": asked.softmax is not None and task != "reward",
        "returned_token_ids": bool(token_ids) and head != "tokens",
    }
    for name, is_idle in faults.items():
        if is_idle:
            raise CheckpointError(
                f"--pooler-config: {name} has no effect on a model that serves {task}; leave it out."
            )
    if (pooling == "STEP") != (asked.step_tag_id is not None):
        raise CheckpointError("--pooler-config: pooling_type STEP and step_tag_id need each other.")
    if pooling == "STEP" and task != "reward":
        raise CheckpointError(
            f"--pooler-config: pooling_type STEP is for --convert reward, and this model serves {task}."
        )
    if (pooling in OF_EVERY_TOKEN and task == "classify") or (
        pooling not in OF_EVERY_TOKEN and task == "reward"
    ):
        raise CheckpointError(
            f"--pooler-config: pooling_type {pooling} does not go with {task}: classify scores a whole input, reward "
            "its tokens (ALL or STEP)."
        )


def _matryoshka(fields: Mapping[str, Any], source: str) -> tuple[int, ...] | None:
    sizes = fields.get("matryoshka_dimensions")
    if sizes is None:
        return () if fields.get("is_matryoshka") is True else None
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        raise CheckpointError(f"{source}: matryoshka_dimensions is {sizes!r}; expected a list of sizes.")
    return tuple(sizes)


def _position_offset(known: PoolingArchitecture, fields: Mapping[str, Any]) -> int:
    """RoBERTa numbers positions from behind its padding token's id."""
    padding = fields.get("pad_token_id", 1)
    return padding + 1 if known.body in POSITIONS_FROM_PADDING and type(padding) is int else 0


def _tells_pairs(known: PoolingArchitecture, fields: Mapping[str, Any]) -> bool:
    types = known.family.canonical(fields).get("type_vocab_size")
    return type(types) is int and types > 1
