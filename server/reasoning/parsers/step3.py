"""Step 3: the answer begins with thinking, and `</think>` ends it."""

from paddock.server.reasoning.tagged import TaggedReasoning


class Parser(TaggedReasoning):
    starts = ("<think>",)
    ends = ("</think>",)
    markers = ("<think>", "</think>")
    thinks_at_once = True
