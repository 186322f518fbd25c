"""The linear layers of a model that are packed after loading."""

from collections.abc import Iterator

from paddock.engine.layers.linear import PackableLinear
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.encoder import Encoder


def linear_layers(model: CausalLM) -> Iterator[PackableLinear]:
    """Of this stage, without the head."""
    from paddock.engine.pooling.model import PooledModel

    body = model.body if isinstance(model, PooledModel) else model
    if isinstance(body, DecoderLM | Encoder):
        for layer in body.layers:
            yield from (module for module in layer.modules() if isinstance(module, PackableLinear))
