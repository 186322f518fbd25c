"""The rows of the batch: tokens and block tables of every running request, kept from step to step."""

import numpy as np

from paddock.engine.executor.plan import NewRow, ScheduledRow


class RowTable:
    """Arrays indexed by row. Zeroed memory is mapped as it is touched, so long contexts cost what they use."""

    def __init__(self, max_rows: int, max_model_len: int, block_size: int) -> None:
        self.block_size = block_size
        # One more column: the last token sampled at the context's end is stored, though never computed.
        self.token_ids = np.zeros((max_rows, max_model_len + 1), np.int32)
        self.num_tokens = np.zeros(max_rows, np.int64)
        self.num_prompt_tokens = np.zeros(max_rows, np.int64)
        self.block_table = np.zeros((max_rows, -(-max_model_len // block_size)), np.int32)
        self.num_blocks = np.zeros(max_rows, np.int64)

    def enter(self, new: NewRow) -> None:
        """Whatever the row's last request left is forgotten."""
        count = len(new.token_ids)
        self.token_ids[new.row, :count] = new.token_ids
        self.num_tokens[new.row] = count
        self.num_prompt_tokens[new.row] = new.num_prompt_tokens
        self.num_blocks[new.row] = 0

    def extend_blocks(self, scheduled: ScheduledRow) -> None:
        row, first = scheduled.row, int(self.num_blocks[scheduled.row])
        last = first + len(scheduled.new_block_ids)
        self.block_table[row, first:last] = scheduled.new_block_ids
        self.num_blocks[row] = last

    def append(self, rows: np.ndarray, token_ids: np.ndarray) -> None:
        """One sampled token for each of `rows`."""
        self.token_ids[rows, self.num_tokens[rows]] = token_ids
        self.num_tokens[rows] += 1
