import pytest
import torch

from paddock.kernels import rms_norm, rotary, silu_and_mul
from paddock.kernels.rms_norm import reference as norm_reference
from paddock.kernels.silu_and_mul import reference as gate_reference

# bfloat16: where float32 values differ in their last bits, the first rounding may differ by one unit in the last place
# (2**-7 of the value), and the rounding of both products adds half of one each.
TOLERANCE = {torch.float32: {"rtol": 2e-6, "atol": 1e-6}, torch.bfloat16: {"rtol": 2**-6, "atol": 1e-6}}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
SHAPES = pytest.mark.parametrize("shape", [(1, 16), (5, 100), (2, 3, 64), (70, 1024)], ids=str)


@DTYPES
@SHAPES
def test_rms_norm_agrees_with_its_definition(
    shape: tuple[int, ...], dtype: torch.dtype, instruction_set: str
) -> None:
    x, weight = torch.randn(shape).to(dtype), torch.randn(shape[-1]).to(dtype)

    torch.testing.assert_close(
        rms_norm(x, weight, 1e-6), norm_reference.rms_norm(x, weight, 1e-6), **TOLERANCE[dtype]
    )


@DTYPES
@SHAPES
def test_rms_norm_returns_the_sum_with_the_residual_and_changes_neither(
    shape: tuple[int, ...], dtype: torch.dtype, instruction_set: str
) -> None:
    x, residual, weight = (torch.randn(size).to(dtype) for size in (shape, shape, shape[-1]))
    before = x.clone(), residual.clone()

    normalized, total = rms_norm(x, weight, 1e-5, residual)

    assert torch.equal(total, x + residual)
    torch.testing.assert_close(normalized, norm_reference.normalize(total, weight, 1e-5), **TOLERANCE[dtype])
    assert torch.equal(x, before[0])
    assert torch.equal(residual, before[1])


@DTYPES
@SHAPES
def test_silu_and_mul_agrees_with_its_definition(
    shape: tuple[int, ...], dtype: torch.dtype, instruction_set: str
) -> None:
    x = (8 * torch.randn(*shape[:-1], 2 * shape[-1])).to(dtype)

    torch.testing.assert_close(silu_and_mul(x), gate_reference.silu_and_mul(x), **TOLERANCE[dtype])


def test_silu_of_huge_values_neither_overflows_nor_turns_to_nan() -> None:
    gate = torch.tensor([[-1e30, -200.0, 200.0, 1e30]])

    out = silu_and_mul(torch.cat((gate, torch.ones(1, 4)), dim=1))

    assert out.tolist() == [[0.0, 0.0, 200.0, pytest.approx(1e30)]]


@DTYPES
def test_rotary_turns_each_pair_by_its_angle_and_leaves_the_rest(dtype: torch.dtype) -> None:
    query, key = torch.randn(7, 4, 24).to(dtype), torch.randn(7, 2, 24).to(dtype)
    angles = torch.randn(7, 8)
    expected = []
    for x in (query, key):
        turned = torch.complex(x[..., :8].float(), x[..., 8:16].float()) * torch.exp(1j * angles)[:, None]
        expected.append(torch.cat((turned.real, turned.imag, x[..., 16:].float()), dim=-1))

    rotary(query, key, angles.cos(), angles.sin())

    for x, reference in zip((query, key), expected, strict=True):
        torch.testing.assert_close(
            x.float(), reference, rtol=2**-8 if dtype != torch.float32 else 1e-6, atol=1e-6
        )
