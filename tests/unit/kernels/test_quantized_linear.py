from dataclasses import replace

import pytest
import torch

from paddock.kernels import QuantizedWeight, dequantize, pack_quantized, round_to_nearest
from paddock.kernels.linear.quantized import PlainQuantizedLinear
from paddock.kernels.linear.quantized_cpu import CpuQuantizedLinear

SHAPES = [
    (1, 64, 40),
    (2, 128, 33),
    (3, 96, 64),
    (5, 1024, 128),
    (33, 160, 17),
    (130, 1056, 50),
    (4, 2048, 7),
]
BITS = pytest.mark.parametrize("bits", [4, 8])


def operands(
    shape: tuple[int, int, int], bits: int, group: int = 32, zeros: bool = False
) -> tuple[torch.Tensor, QuantizedWeight, torch.Tensor]:
    rows, ins, outs = shape
    random = torch.Generator().manual_seed(rows)
    x, weight, bias = (torch.randn(size, generator=random) for size in ((rows, ins), (outs, ins), (outs,)))
    quantized = round_to_nearest(weight, bits, group)
    if zeros:
        drawn = torch.randint(-8, 8, quantized.scales.shape, generator=random)
        quantized = replace(quantized, zeros=drawn.float())
    return x, quantized, bias


@BITS
def test_rounding_is_off_by_half_a_step_at_most_and_keeps_extremes(bits: int) -> None:
    weight = torch.randn(50, 256)
    weight[3, :128] = 0

    rounded = round_to_nearest(weight, bits, 128)

    step = rounded.scales.repeat_interleave(128, dim=1)
    error = (dequantize(rounded) - weight).abs()
    assert (error <= step / 2 + 1e-6).all()
    assert not dequantize(rounded)[3, :128].any()
    assert rounded.codes.max() == (1 << (bits - 1)) - 1
    assert rounded.codes.min() == -(1 << (bits - 1))


@BITS
@pytest.mark.parametrize("zeros", [False, True], ids=["symmetric", "zeros"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_those_of_the_dequantized_weight(
    shape: tuple[int, int, int], zeros: bool, bits: int, instruction_set: str
) -> None:
    for group in {32, shape[1]}:
        x, quantized, bias = operands(shape, bits, group, zeros)
        multiply = pack_quantized(quantized, bias, dtype=torch.float32)
        assert isinstance(multiply, CpuQuantizedLinear)

        exact = x.double() @ dequantize(quantized).double().T + bias.double()
        error = (multiply(x) - exact).abs().max() / exact.abs().max()

        assert error < 3e-6


@BITS
def test_bfloat16_is_rounded_once_from_float32_sums(bits: int, instruction_set: str) -> None:
    x, quantized, bias = operands((5, 1024, 128), bits)
    x, bias = x.bfloat16(), bias.bfloat16()

    exact = x.double() @ dequantize(quantized).double().T + bias.double()
    result = pack_quantized(quantized, bias, dtype=torch.bfloat16)(x)

    torch.testing.assert_close(result.double(), exact, rtol=2**-8, atol=1e-3)


@BITS
@pytest.mark.parametrize("zeros", [False, True], ids=["symmetric", "zeros"])
def test_single_rows_are_those_of_the_dequantized_weight(
    bits: int, zeros: bool, instruction_set: str
) -> None:
    _, quantized, _ = operands((1, 160, 70), bits, zeros=zeros)
    chosen = torch.tensor([0, 69, 15, 16, 31, 32, 0], dtype=torch.int32)

    for dtype in (torch.float32, torch.bfloat16):
        rows = pack_quantized(quantized, dtype=dtype).rows(chosen)
        assert torch.equal(rows, dequantize(quantized, dtype)[chosen])


@BITS
def test_the_plain_layer_gives_the_same(bits: int) -> None:
    x, quantized, bias = operands((7, 128, 40), bits, zeros=True)
    plain = PlainQuantizedLinear(quantized, bias, torch.float32)
    compiled = pack_quantized(quantized, bias, dtype=torch.float32)

    torch.testing.assert_close(compiled(x), plain(x), rtol=1e-5, atol=1e-4)
    assert torch.equal(compiled.rows(torch.tensor([3, 39])), plain.rows(torch.tensor([3, 39])))


@BITS
@pytest.mark.parametrize("group", [32, 512])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(bits: int, group: int) -> None:
    x, quantized, _ = operands((150, 1024, 61), bits, group, zeros=True)
    multiply = pack_quantized(quantized, dtype=torch.float32)
    together = multiply(x)

    for rows in (1, 2, 3, 4, 7, 32, 129):
        assert torch.equal(multiply(x[-rows:]), together[-rows:])


def test_a_row_that_is_not_there_is_refused() -> None:
    _, quantized, _ = operands((1, 64, 40), 8)

    with pytest.raises(IndexError, match="rows 3 to 40 of a weight with 40 rows"):
        pack_quantized(quantized, dtype=torch.float32).rows(torch.tensor([3, 40]))


def test_codes_take_the_memory_of_their_bits() -> None:
    _, quantized, _ = operands((1, 256, 64), 4)
    four = pack_quantized(quantized, dtype=torch.float32)
    eight = pack_quantized(operands((1, 256, 64), 8)[1], dtype=torch.float32)
    assert isinstance(four, CpuQuantizedLinear)
    assert isinstance(eight, CpuQuantizedLinear)

    assert (four.packed.nbytes, eight.packed.nbytes) == (256 * 64 // 2, 256 * 64)
