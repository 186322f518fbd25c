import pytest
import torch

from paddock.kernels import pack_linear

SHAPES = [(1, 64, 40), (2, 100, 33), (3, 96, 64), (5, 1024, 128), (33, 72, 17), (130, 1056, 50), (4, 2049, 7)]


def operands(
    rows: int, in_features: int, out_features: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(rows)
    x, weight, bias = (
        torch.randn(shape, generator=random).to(dtype)
        for shape in ((rows, in_features), (out_features, in_features), (out_features,))
    )
    return x, weight, bias


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_is_as_exact_as_its_sums_can_be(shape: tuple[int, int, int], instruction_set: str) -> None:
    x, weight, bias = operands(*shape, torch.float32)

    exact = x.double() @ weight.double().T + bias.double()
    error = (pack_linear(weight, bias)(x) - exact).abs().max() / exact.abs().max()

    assert error < 1e-6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16_is_rounded_once_from_float32_sums(
    shape: tuple[int, int, int], instruction_set: str
) -> None:
    x, weight, bias = operands(*shape, torch.bfloat16)

    exact = x.double() @ weight.double().T + bias.double()

    # Half a unit in the last of 8 bits, and the float32 sums' own error near zero.
    torch.testing.assert_close(pack_linear(weight, bias)(x).double(), exact, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("in_features", [48, 1024, 1500])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(dtype: torch.dtype, in_features: int) -> None:
    x, weight, _ = operands(150, in_features, 61, dtype)
    multiply = pack_linear(weight)
    together = multiply(x)

    for rows in (1, 2, 3, 4, 7, 32, 129):
        assert torch.equal(multiply(x[-rows:]), together[-rows:])


@pytest.mark.usefixtures("one_thread")
def test_the_number_of_threads_changes_no_bit() -> None:
    x, weight, bias = operands(40, 512, 300, torch.bfloat16)
    alone = pack_linear(weight, bias)(x)

    torch.set_num_threads(2)

    assert torch.equal(pack_linear(weight, bias)(x), alone)


def test_strided_and_batched_inputs_are_taken() -> None:
    x, weight, bias = operands(6, 64, 32, torch.float32)
    multiply = pack_linear(weight, bias)
    expected = multiply(x)

    assert torch.equal(multiply(torch.cat((x, x), dim=1)[:, :64]), expected)
    assert torch.equal(multiply(x.view(2, 3, 64)), expected.view(2, 3, 32))
    assert multiply(x[:0]).shape == (0, 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_packed_layer_does_not_need_the_plain_weight(dtype: torch.dtype) -> None:
    x, weight, bias = operands(6, 64, 50, dtype)
    multiply = pack_linear(weight, bias)
    expected = multiply(x)

    weight.fill_(float("nan"))

    assert torch.equal(multiply(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("shape", [(7, 64), (50, 33), (300, 512)], ids=str)
def test_rows_of_the_weight_are_read_back_from_the_packed_one(
    shape: tuple[int, int], index_dtype: torch.dtype, dtype: torch.dtype, instruction_set: str
) -> None:
    weight = torch.randn(shape).to(dtype)
    indices = torch.cat((torch.randint(shape[0], (70,)), torch.tensor([0, shape[0] - 1]))).to(index_dtype)
    packed = pack_linear(weight)

    for some in (indices, indices[::3], indices[:1], indices[:0]):
        assert torch.equal(packed.rows(some), weight[some.long()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("index", [-1, 50])
def test_a_row_that_is_not_there_is_refused(index: int, dtype: torch.dtype) -> None:
    packed = pack_linear(torch.ones(50, 16, dtype=dtype))

    with pytest.raises(IndexError):
        packed.rows(torch.tensor([3, index]))


def test_float16_goes_to_pytorch() -> None:
    x, weight, bias = operands(3, 32, 16, torch.float16)

    assert torch.equal(pack_linear(weight, bias)(x), torch.nn.functional.linear(x, weight, bias))
