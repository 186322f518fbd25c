"""GLM 4.5 and later: `<think>` by the model; the prompt closes the block when enable_thinking is false."""

from paddock.server.reasoning.tagged import TaggedReasoning


class Parser(TaggedReasoning):
    starts = ("<think>",)
    ends = ("</think>",)
    markers = ("<think>", "</think>")
