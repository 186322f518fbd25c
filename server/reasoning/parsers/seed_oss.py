"""Seed-OSS: `<seed:think>`, before the answer; its template closes the block when the budget is 0."""

from paddock.server.reasoning.tagged import TaggedReasoning


class Parser(TaggedReasoning):
    starts = ("<seed:think>",)
    ends = ("</seed:think>",)
    markers = ("<seed:think>", "</seed:think>")
    thinks_at_once = True
