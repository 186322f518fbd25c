"""Which rows each expert gets."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class SortedTokens:
    """A step's choices `[tokens, top_k]`, sorted by expert. int64, on the device of the step.

    There are `tokens * top_k` sorted rows. Those past `offsets[-1]` are nobody's, and hold anything.
    """

    rows: torch.Tensor
    """`[tokens * top_k]`: the token that each sorted row is of."""
    offsets: torch.Tensor
    """`[experts + 1]`: where the rows of each expert begin."""
    places: torch.Tensor
    """`[tokens, top_k]`: the sorted row of each choice; -1 for an expert that is not here."""
