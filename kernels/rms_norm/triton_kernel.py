"""RMSNorm on NVIDIA GPUs: one program reads one row once, adds the residual and normalises the sum."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"
# Triton reads annotations as its own types, so a kernel's arguments are described in comments.

import torch
import triton
import triton.language as tl


@triton.jit
def _norm_kernel(
    x,  # [rows, dim], row stride x_stride
    residual,  # [rows, dim], used with RESIDUAL only
    weight,  # [dim]
    out,  # [rows, dim]
    total,  # [rows, dim], used with RESIDUAL only
    eps,
    x_stride,
    dim,
    RESIDUAL: tl.constexpr,
    LANES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, LANES)
    mask = lane < dim
    values = tl.load(x + row * x_stride + lane, mask=mask, other=0.0)
    if RESIDUAL:
        added = tl.load(residual + row * dim + lane, mask=mask, other=0.0)
        values = (values.to(tl.float32) + added.to(tl.float32)).to(out.dtype.element_ty)
        tl.store(total + row * dim + lane, values, mask=mask)
    wide = values.to(tl.float32)
    scaled = wide * tl.rsqrt(tl.sum(wide * wide) / dim + eps)
    # Rounded before the weight, as the definition does.
    scaled = scaled.to(out.dtype.element_ty).to(tl.float32)
    scaled *= tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * dim + lane, scaled.to(out.dtype.element_ty), mask=mask)


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float, residual: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """See `paddock.kernels.rms_norm`. Rows may be strided, their elements may not."""
    dim = x.shape[-1]
    rows = x.reshape(-1, dim)
    rows = rows if rows.stride(1) == 1 else rows.contiguous()
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    total = None if residual is None else torch.empty_like(out)
    if len(rows):
        lanes = triton.next_power_of_2(dim)
        _norm_kernel[(len(rows),)](
            rows,
            rows if residual is None else residual.contiguous(),
            weight,
            out,
            out if total is None else total,
            eps,
            rows.stride(0),
            dim,
            RESIDUAL=residual is not None,
            LANES=lanes,
            num_warps=min(16, max(1, lanes // 512)),
        )
    return out if total is None else (out, total)
