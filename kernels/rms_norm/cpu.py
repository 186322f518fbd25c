"""RMSNorm on the compiled kernel."""

import torch

from paddock.kernels import native


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float, residual: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """See `paddock.kernels.rms_norm`."""
    assert native.library is not None
    assert weight.dtype == x.dtype
    assert weight.is_contiguous()
    x = x.contiguous()
    out = torch.empty_like(x)
    if residual is not None:
        assert residual.shape == x.shape
        assert residual.dtype == x.dtype
        residual = residual.contiguous()
    total = out if residual is None else torch.empty_like(x)
    dim = x.shape[-1]
    native.library.norm(
        native.ELEMENT[x.dtype],
        torch.get_num_threads(),
        x.data_ptr(),
        0 if residual is None else residual.data_ptr(),
        weight.data_ptr(),
        out.data_ptr(),
        total.data_ptr(),
        x.numel() // dim,
        dim,
        dim,
        eps,
    )
    return out if residual is None else (out, total)
