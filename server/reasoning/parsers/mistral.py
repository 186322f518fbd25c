"""Magistral: `[THINK]` and `[/THINK]`, tokens of their own."""

from paddock.server.reasoning.tagged import TaggedReasoning


class Parser(TaggedReasoning):
    starts = ("[THINK]",)
    ends = ("[/THINK]",)
    markers = ("[THINK]", "[/THINK]")
