"""Stateless Gumbel noise: a function of a row's key and the token id and nothing else.

The noise of a request does not depend on its neighbours in the batch, on how its prompt was cut, on preemption or on
which candidates were kept, so the same seed gives the same tokens. A counter-based generator in the sense of Salmon
et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3"), of 32-bit integer operations, equal on every device.
"""

import torch


def gumbel(token_ids: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Standard Gumbel noise, float32 `[rows, n]`.

    `token_ids` is int32 `[n]` or `[rows, n]`, `keys` int32 `[rows, 2]`. The largest noise is -log(2**-32) = 22.2.
    """
    x = token_ids * -1640531535 + keys[:, :1]  # 0x9E3779B1 as a signed number
    _xor_shift(x, 16).mul_(0x21F0AAAD).add_(keys[:, 1:])
    _xor_shift(x, 15).mul_(0x735A2D97)
    _xor_shift(x, 15).bitwise_and_(0x7FFFFFFF)
    # Large noise comes from small uniforms, where float32 is finest: hence log1p, and 31 bits are enough.
    uniform = x.float().mul_(2.0**-31).add_(2.0**-32)
    exponential = uniform.neg_().log1p_().neg_()
    return exponential.log_().neg_()


def _xor_shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """x ^= x >> bits with zeros coming in, in place: torch shifts signed numbers, so the sign's copies are masked."""
    return x.bitwise_xor_((x >> bits).bitwise_and_((1 << (32 - bits)) - 1))
