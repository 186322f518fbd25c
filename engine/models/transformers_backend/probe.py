"""Proof at start that a model says the same over the paged cache as with transformers' own attention.

Two short sequences run flattened, one of them in two chunks, and every logit is compared with those of each sequence
alone under the plain (eager) attention. A model that mixes tokens of a batch outside of attention, places them by
itself, or keeps state shows here, and is refused before it has written a wrong word.
"""

from typing import Any

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.transformers_backend.attention import NAME
from paddock.engine.models.transformers_backend.model import TransformersCausalLM
from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.kernels import AttentionMetadata

LENGTHS = (11, 6)
CHUNK = 4
"""The first sequence runs as 4 tokens, then as 7 beside the second."""

BLOCK_SIZE = 4
TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 0.06, torch.float16: 0.02}
"""On the norm of the difference, relative to that of the logits."""


@torch.inference_mode()
def check_against_itself(model: TransformersCausalLM, vocab_size: int, place: Placement) -> None:
    """Raises `Unsupported`. Unbinds the cache. Tensor-parallel peers call it at the same time."""
    device = next(model.parameters()).device
    dtype = next(model.parameters()).dtype
    random = torch.Generator().manual_seed(0)
    sequences = [torch.randint(0, vocab_size, (length,), generator=random).to(device) for length in LENGTHS]
    expected = torch.cat([_alone(model.model, ids) for ids in sequences])
    found = _paged(model, sequences)
    error = ((found - expected).norm() / expected.norm().clamp_min(1e-6)).item()
    if not error < TOLERANCE[dtype]:
        raise Unsupported(
            f"over the paged cache its logits differ from those under transformers' own attention (by {error:.2g} "
            "of their size): it uses positions, masks or state in a way of its own"
        )
    if not torch.equal(found, place.take_from_first(found.clone())):
        raise Unsupported(
            "its ranks come to different logits: its tensor-parallel plan leaves something unsummed; use "
            "--tensor-parallel-size 1"
        )


def _alone(model: Any, ids: torch.Tensor) -> torch.Tensor:
    model.set_attn_implementation("eager")
    try:
        logits: torch.Tensor = model(input_ids=ids[None], use_cache=False, return_dict=True).logits[0]
    finally:
        model.set_attn_implementation(NAME)
    return logits.float()


def _paged(model: TransformersCausalLM, sequences: list[torch.Tensor]) -> torch.Tensor:
    first, second = sequences
    device = first.device
    size = (10, model.num_kv_heads, BLOCK_SIZE, model.head_dim)
    dtype = next(model.parameters()).dtype
    caches = torch.zeros(model.num_cache_layers, 2, *size, dtype=dtype, device=device)
    model.bind_cache([(key_cache, value_cache) for key_cache, value_cache in caches])
    blocks = [[7, 2, 5], [0, 9]]
    begin = AttentionMetadata.build([CHUNK], [CHUNK], blocks[:1], BLOCK_SIZE, device=device)
    hidden = [model(first[:CHUNK], torch.arange(CHUNK, device=device), begin)]
    rest = [len(first) - CHUNK, len(second)]
    both = AttentionMetadata.build(rest, [len(first), len(second)], blocks, BLOCK_SIZE, device=device)
    positions = torch.cat((torch.arange(CHUNK, len(first)), torch.arange(len(second)))).to(device)
    hidden.append(model(torch.cat((first[CHUNK:], second)), positions, both))
    model.bind_cache([])
    return model.logits(torch.cat(hidden))
