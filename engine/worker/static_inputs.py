"""A decode step's inputs at addresses that stay, as a recorded step reads them."""

from collections.abc import Sequence

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.kernels import AttentionMetadata

TOKEN, POSITION, LENGTH, SLOT = range(4)
"""Places of what each row has one number of."""

EMPTY_ROW = {TOKEN: 0, POSITION: 0, LENGTH: 1, SLOT: -1}
"""Of a row that fills up a batch: it reads one position of some block, writes nowhere, and nobody reads its result."""


class StaticInputs:
    """Of up to `most_rows` rows with a token each. `write` puts a step there, `compute` reads what was put last."""

    def __init__(
        self, model: CausalLM, most_rows: int, blocks_of_row: int, hidden_size: int, place: Placement
    ) -> None:
        self._model, device = model, place.device
        # One run of memory, and so one copy a step.
        self._numbers = torch.zeros(len(EMPTY_ROW) * _stride(most_rows), dtype=torch.int64, device=device)
        self._block_table = torch.zeros(most_rows, blocks_of_row, dtype=torch.int32, device=device)
        self._cu_seqlens = torch.arange(most_rows + 1, dtype=torch.int32, device=device)
        self._incoming = None
        """What the stage before hands over; None on the first one."""
        if not place.is_first_stage:
            self._incoming = torch.zeros(most_rows, hidden_size, dtype=place.dtype, device=device)

    def write(
        self,
        size: int,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        metadata: AttentionMetadata,
        incoming: torch.Tensor | None,
    ) -> None:
        """Tensors on the host, but for `incoming`; filled up to `size` rows."""
        count, stride = len(token_ids), _stride(size)
        numbers = torch.empty(len(EMPTY_ROW), stride, dtype=torch.int64)
        for place, values in (
            (TOKEN, token_ids),
            (POSITION, positions),
            (LENGTH, metadata.seq_lens),
            (SLOT, metadata.slot_mapping),
        ):
            numbers[place, :count] = values
            numbers[place, count:] = EMPTY_ROW[place]
        # From memory that is not pinned: the copy has left it when the call returns, whenever the device gets to it.
        self._numbers[: numbers.numel()].copy_(numbers.flatten(), non_blocking=True)
        width = metadata.block_table.shape[1]
        self._block_table[:count, :width].copy_(metadata.block_table, non_blocking=True)
        if self._incoming is not None:
            assert incoming is not None, "a stage that is not the first one gets hidden states"
            self._incoming[:count].copy_(incoming)

    def compute(self, size: int) -> torch.Tensor:
        """The model's hidden states of `size` rows, `[size, hidden]`."""
        stride = _stride(size)
        numbers = self._numbers[: len(EMPTY_ROW) * stride].view(-1, stride)[:, :size]
        metadata = AttentionMetadata(
            cu_seqlens=self._cu_seqlens[: size + 1],
            seq_lens=numbers[LENGTH].int(),
            block_table=self._block_table[:size],
            slot_mapping=numbers[SLOT],
            max_query_len=1,
            num_decodes=size,
            query_lens_host=(),
            seq_lens_host=(),
        )
        incoming = None if self._incoming is None else self._incoming[:size]
        hidden: torch.Tensor = self._model(numbers[TOKEN], numbers[POSITION], metadata, incoming)
        return hidden

    def write_made_up(
        self, size: int, vocab_size: int, blocks: Sequence[int], block_size: int, salt: int
    ) -> None:
        """`size` rows of contexts within a block each, unlike those of another `salt`. Rows without a block of their
        own keep nothing."""
        numbers = torch.arange(size)
        lengths = 1 + (numbers * 5 + salt) % block_size
        tables = [[blocks[row % len(blocks)]] for row in range(size)]
        metadata = AttentionMetadata.build([1] * size, lengths.tolist(), tables, block_size)
        metadata.slot_mapping[len(blocks) :] = EMPTY_ROW[SLOT]
        incoming = None
        if self._incoming is not None:
            incoming = torch.randn_like(self._incoming[:size])
        self.write(size, (numbers * 7919 + salt) % vocab_size, lengths - 1, metadata, incoming)


def _stride(size: int) -> int:
    """Numbers from one place to the next: even, since kernels are compiled anew for addresses that are less aligned."""
    return size + size % 2
