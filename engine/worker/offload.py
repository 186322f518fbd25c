"""Which layers of a worker stay in host memory, and what that takes and saves (`--cpu-offload-gb`)."""

from dataclasses import dataclass

from paddock.engine.layers.layer_stream import NUM_BUFFERS, chosen_layers
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.settings import SettingsError

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Offload:
    layers: tuple[int, ...] = ()
    """Indices among those of the worker's stage."""
    host_bytes: int = 0
    buffer_bytes: int = 0
    """On the device, for the layers that come."""

    @staticmethod
    def plan(model: CausalLM, budget: int) -> "Offload":
        """Of a model that may be without memory. Raises `SettingsError` when nothing would be saved."""
        if not budget:
            return NO_OFFLOAD
        assert isinstance(model, DecoderLM), "other models are refused with the settings"
        sizes = [
            sum(target.destination.nbytes for target in layer.weight_targets("")) for layer in model.layers
        ]
        layers = chosen_layers(sizes, budget)
        if len(layers) <= NUM_BUFFERS:
            least = (NUM_BUFFERS + 1) * max(sizes) / (1 << 30)
            raise SettingsError(
                f"--cpu-offload-gb {budget / (1 << 30):.3g} holds {len(layers)} of the {len(sizes)} layers of a worker, which "
                f"take {max(sizes) / MEBIBYTE:.1f} MiB each, and {NUM_BUFFERS} have to be on the device at any time: nothing "
                f"would be saved. Use at least {least:.3g} with a model of more than {NUM_BUFFERS} layers, or leave it out."
            )
        held = sum(sizes[index] for index in layers)
        return Offload(tuple(layers), held, NUM_BUFFERS * max(sizes[index] for index in layers))


NO_OFFLOAD = Offload()
