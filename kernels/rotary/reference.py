"""Definition of rotary position embedding (Su et al. 2021), in the two-halves form of GPT-NeoX."""

import torch


def rotary(query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """See `paddock.kernels.rotary`."""
    rotate_in_place(query, cos, sin)
    rotate_in_place(key, cos, sin)


def rotate_in_place(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotate the pairs `(x[i], x[i + half])`; the product in float32, rounded once."""
    half = cos.shape[-1]
    cos, sin = cos.float()[:, None], sin.float()[:, None]
    first, second = x[..., :half].float(), x[..., half : 2 * half].float()
    rotated = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    x[..., : 2 * half] = rotated.to(x.dtype)
