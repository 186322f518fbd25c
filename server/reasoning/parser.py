"""What all reasoning parsers have in common."""

from enum import Enum
from typing import ClassVar

from paddock.server.tools.incremental import IncrementalParser


class Block(Enum):
    """What the prompt says of the thinking block of the answer."""

    UNSAID = 0
    OPENED = 1
    CLOSED = 2
    """As templates write it when thinking is turned off: an empty block, or one that is over."""


class ReasoningParser(IncrementalParser):
    """Yields Reasoning, and all else as Content: where tools are on offer, those parsers read the content."""

    markers: ClassVar[tuple[str, ...]] = ()
    """Texts of the format that tokenizers keep as special tokens; such tokens are shown to the parser."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    @classmethod
    def block_of(cls, prompt: str) -> Block:
        """What the end of a prompt says."""
        return Block.UNSAID

    @classmethod
    def block_within(cls, message: str) -> Block:
        """The same for an answer that goes on with this message."""
        return Block.UNSAID
