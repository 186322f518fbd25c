import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.kernels import cache_write, rotary_cache_write
from paddock.kernels.rotary_cache_write import reference

LAYOUTS = st.tuples(
    st.integers(1, 6), st.integers(1, 3), st.sampled_from([1, 2, 5, 8]), st.sampled_from([4, 16])
)


@given(layout=LAYOUTS, data=st.data())
def test_each_token_lands_in_its_slot_and_nothing_else_changes(
    layout: tuple[int, int, int, int], data: st.DataObject
) -> None:
    num_blocks, num_kv_heads, block_size, head_dim = layout
    free = data.draw(st.permutations(range(num_blocks * block_size)))
    slots = [
        slot if data.draw(st.booleans()) else -1 for slot in free[: data.draw(st.integers(0, len(free)))]
    ]
    key, value = torch.randn(2, len(slots), num_kv_heads, head_dim)
    key_cache, value_cache = torch.zeros(2, *layout)

    cache_write(key, value, key_cache, value_cache, torch.tensor(slots, dtype=torch.int64))

    for rows, cache in ((key, key_cache), (value, value_cache)):
        expected = torch.zeros(layout)
        for token, slot in enumerate(slots):
            if slot >= 0:
                expected[slot // block_size, :, slot % block_size] = rows[token]
        assert torch.equal(cache, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("head_norm", [False, True])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "dim", "rotary_dim"), [(4, 2, 64, 64), (7, 1, 80, 32), (2, 2, 16, 16)]
)
def test_the_fused_step_equals_norm_then_rotary_then_write(
    heads: int,
    kv_heads: int,
    dim: int,
    rotary_dim: int,
    head_norm: bool,
    dtype: torch.dtype,
    instruction_set: str,
) -> None:
    tokens, block_size = 37, 8
    qkv = torch.randn(tokens, (heads + 2 * kv_heads) * dim).to(dtype)
    norms = [torch.randn(dim).to(dtype) if head_norm else None for _ in range(2)]
    angles = torch.randn(tokens, rotary_dim // 2)
    slots = torch.randperm(6 * block_size)[:tokens]
    slots[::9] = -1
    caches = [torch.zeros(6, kv_heads, block_size, dim).to(dtype) for _ in range(4)]
    untouched = qkv.clone()

    query = rotary_cache_write(qkv, angles.cos(), angles.sin(), *caches[:2], slots, *norms)
    expected = reference.rotary_cache_write(qkv, angles.cos(), angles.sin(), *caches[2:], slots, *norms)

    # bfloat16: the norm's result is rounded before the turn, so a last bit there is one here.
    tolerance = {"rtol": 2e-6, "atol": 4e-6} if dtype == torch.float32 else {"rtol": 2**-6, "atol": 2**-6}
    torch.testing.assert_close(query, expected, **tolerance)
    torch.testing.assert_close(caches[0], caches[2], **tolerance)
    assert torch.equal(caches[1], caches[3])
    assert torch.equal(qkv, untouched)
