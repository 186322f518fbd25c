"""One packed matrix serves a tied embedding and its head."""

import pytest
import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.layers.vocabulary import VocabParallelEmbedding, VocabParallelHead

VOCAB, HIDDEN = 67, 32


def tied_layers(
    dtype: torch.dtype, rank: int = 0, ranks: int = 1
) -> tuple[VocabParallelEmbedding, VocabParallelHead, torch.Tensor]:
    """Filled and packed, and the whole plain matrix."""
    place = Placement(dtype, torch.device("cpu"), rank, ranks)
    embedding = VocabParallelEmbedding(VOCAB, HIDDEN, place)
    head = VocabParallelHead(VOCAB, HIDDEN, place, embedding)
    matrix = torch.randn(VOCAB, HIDDEN, generator=torch.Generator().manual_seed(0)).to(dtype)
    for target in embedding.weight_targets("model.embed_tokens"):
        target.destination.copy_(matrix[target.source])
    head.pack()
    return embedding, head, matrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_tied_embedding_reads_the_rows_that_its_head_multiplies_by(dtype: torch.dtype) -> None:
    embedding, head, matrix = tied_layers(dtype)
    token_ids = torch.tensor([66, 0, 31, 32, 0], dtype=torch.int32)
    hidden = torch.randn(3, HIDDEN).to(dtype)

    assert torch.equal(embedding(token_ids), matrix[token_ids.long()])
    expected = (hidden.double() @ matrix.double().T).float()
    torch.testing.assert_close(head(hidden), expected, rtol=2**-7, atol=2**-7)


def test_no_plain_copy_stays_beside_the_packed_one() -> None:
    embedding, head, _ = tied_layers(torch.bfloat16)

    assert embedding.weight is None
    assert head.shard is embedding
    assert list(head.weight_targets("lm_head")) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_each_rank_reads_its_own_rows_back_and_zeros_for_the_padding(rank: int) -> None:
    embedding, _, matrix = tied_layers(torch.float32, rank, 2)

    rows = embedding.rows(torch.arange(34))

    expected = torch.cat((matrix, torch.zeros(1, HIDDEN)))[34 * rank :][:34]
    assert torch.equal(rows, expected)


def test_an_embedding_without_a_tied_head_stays_plain() -> None:
    place = Placement(torch.float32, torch.device("cpu"))
    embedding = VocabParallelEmbedding(VOCAB, HIDDEN, place)
    head = VocabParallelHead(VOCAB, HIDDEN, place, None)

    assert [target.name for target in head.weight_targets("lm_head")] == ["lm_head.weight"]
    head.pack()

    assert embedding.weight is not None
    assert head.shard.weight is None
