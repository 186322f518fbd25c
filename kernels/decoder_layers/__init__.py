"""A run of decoder layers in one call, where the compiled CPU kernels have all of their operations.

A third of a small model's step was the way from one operation to the next: there are nine in a layer, most of them a
microsecond or two of arithmetic.
"""

from paddock.kernels.decoder_layers.cpu import CpuDecoderLayers
from paddock.kernels.decoder_layers.parts import LayerParts

__all__ = ["CpuDecoderLayers", "LayerParts"]
