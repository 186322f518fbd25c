"""Thinking between a mark and its counterpart, before the answer."""

from typing import ClassVar

from paddock.server.reasoning.parser import Block, ReasoningParser
from paddock.server.tools.incremental import Parsing, reasoned_until, shown_until
from paddock.server.tools.source import NEVER, Source


class TaggedReasoning(ReasoningParser):
    starts: ClassVar[tuple[str, ...]]
    ends: ClassVar[tuple[str, ...]]
    thinks_at_once: ClassVar[bool] = False
    """The model leaves its start mark out, so thinking begins with the answer unless the prompt has closed it."""

    wrapper: ClassVar[tuple[str, str] | None] = None
    """Marks around the answer itself."""

    @classmethod
    def block_of(cls, prompt: str) -> Block:
        end = prompt.rstrip()
        if end.endswith(cls.starts):
            return Block.OPENED
        return Block.CLOSED if end.endswith(cls.ends) else Block.UNSAID

    @classmethod
    def block_within(cls, message: str) -> Block:
        opened = max(map(message.rfind, cls.starts))
        return Block.OPENED if opened > max(map(message.rfind, cls.ends)) else Block.CLOSED

    def grammar(self, source: Source) -> Parsing[None]:
        if self.block is not Block.CLOSED:
            yield from self._thoughts(source)
        if self.wrapper is not None:
            yield from self._wrapped(source, *self.wrapper)

    def _thoughts(self, source: Source) -> Parsing[None]:
        begin = source.at
        yield from source.skip_space()
        started = yield from source.takes(*self.starts)
        if started is None and self.block is not Block.OPENED and not self.thinks_at_once:
            source.at = begin  # there is no thinking: all of it is content
            return
        source.reasoning_end = NEVER
        yield from source.skip_space()
        if (yield from reasoned_until(source, *self.ends)) is None:
            return
        source.reasoning_end = source.position
        yield from source.skip_space()

    def _wrapped(self, source: Source, opening: str, closing: str) -> Parsing[None]:
        yield from source.skip_space()
        if (yield from source.takes(opening)) is not None:
            yield from source.skip_space()
            yield from shown_until(source, f"\n{closing}", closing)
            yield from source.skip_space()
