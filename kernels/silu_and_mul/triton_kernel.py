"""SwiGLU's gate on NVIDIA GPUs: one program makes a piece of one row."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"
# Triton reads annotations as its own types, so a kernel's arguments are described in comments.

import torch
import triton
import triton.language as tl

PIECE = 1024


@triton.jit
def _gate_kernel(
    x,  # [rows, 2 * dim]
    out,  # [rows, dim]
    dim,
    PIECE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1) * PIECE + tl.arange(0, PIECE)
    mask = lane < dim
    gate = tl.load(x + row * 2 * dim + lane, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * dim + dim + lane, mask=mask, other=0.0).to(tl.float32)
    # Rounded between the two products, as the definition does.
    activated = (gate / (1.0 + tl.exp(-gate))).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * dim + lane, (activated * up).to(out.dtype.element_ty), mask=mask)


def silu_and_mul(x: torch.Tensor) -> torch.Tensor:
    """See `paddock.kernels.silu_and_mul`."""
    dim = x.shape[-1] // 2
    x = x.contiguous()
    out = torch.empty(*x.shape[:-1], dim, dtype=x.dtype, device=x.device)
    rows = out.numel() // dim
    if rows:
        _gate_kernel[(rows, triton.cdiv(dim, PIECE))](x, out, dim, PIECE=PIECE)
    return out
