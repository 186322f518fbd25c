"""Calls in a section of their own, each between two marks."""

from collections.abc import Callable

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.source import Source


def calls_of_section(
    source: Source, call: Callable[[Source], Parsing[None]], begin: str, end: str, section_end: str
) -> Parsing[None]:
    """What follows the mark of the section. A call's own end may be left out where the next one begins."""
    while True:
        yield from source.skip_space()
        if (yield from source.expect(begin, section_end)) == section_end:
            return
        yield from call(source)
        yield from source.skip_space()
        yield from source.takes(end)
