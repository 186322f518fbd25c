"""Which classes build a model: transformers' own, or those of the model's repository where its code may run."""

import inspect
from pathlib import Path
from typing import Any

import transformers
from transformers import PretrainedConfig, PreTrainedModel

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.remote_code import CONFIG, MODEL, TrustedCode, auto_map, refusal
from paddock.engine.models.shape import ModelShape
from paddock.engine.models.transformers_backend.custom_class import custom_class
from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.engine.models.transformers_backend.support import causal_lm_class, check_class


def model_and_config_class(shape: ModelShape, path: Path, download_dir: str | None) -> tuple[Any, Any]:
    """Raises `Unsupported` or `CheckpointError`. Runs the repository's code under `--trust-remote-code` only."""
    named = auto_map(shape.fields.values, str(path / "config.json"))
    if shape.code is None:
        model = causal_lm_class(shape.architecture)
        if model is None and MODEL in named:
            raise refusal(shape.architecture, named[MODEL], str(path / "config.json"))
        config = None
    else:
        model = _own(named.get(MODEL), PreTrainedModel, shape.code, path, download_dir)
        config = _own(named.get(CONFIG), PretrainedConfig, shape.code, path, download_dir)
        model = _able_to_generate(model) if model is not None else causal_lm_class(shape.architecture)
    if model is None:
        raise Unsupported(f"transformers {transformers.__version__} has no such class")
    check_class(model)
    return model, config or model.config_class


def _own(reference: str | None, base: type, code: TrustedCode, path: Path, download_dir: str | None) -> Any:
    if reference is None:
        return None
    folder, name = code.locate(reference, path, download_dir)
    found = custom_class(folder, name)
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise CheckpointError(f"{folder}: the model's own {name} is no {base.__name__} of transformers.")
    return found


def _able_to_generate(model: Any) -> Any:
    """Code written for transformers before 4.50 leaves the mixin to transformers."""
    from transformers.models.auto.auto_factory import add_generation_mixin_to_remote_model

    return add_generation_mixin_to_remote_model(model)
