"""What all tool parsers have in common; the base class of a plugin's own."""

from typing import ClassVar
from uuid import uuid4

from paddock.server.tools.incremental import IncrementalParser
from paddock.server.tools.offered import OfferedTools


class ToolParser(IncrementalParser):
    """Finds the calls in one choice. A subclass writes `grammar`, or overrides `push` and `finish` altogether."""

    markers: ClassVar[tuple[str, ...]] = ()
    """Texts of the format that tokenizers keep as special tokens; such tokens are shown to the parser."""

    reads_reasoning: ClassVar[bool] = False
    """The format mixes thinking and calls, so this parser finds both and no reasoning parser runs before it."""

    def __init__(self, tools: OfferedTools) -> None:
        super().__init__()
        self.tools = tools

    def new_call_id(self) -> str:
        """The id of a call where the text holds none."""
        return f"call_{uuid4().hex[:24]}"
