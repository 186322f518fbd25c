"""DeepSeek R1 and its distillations: the prompt often opens the block, and the answer begins inside it."""

from paddock.server.reasoning.tagged import TaggedReasoning


class Parser(TaggedReasoning):
    starts = ("<think>",)
    ends = ("</think>",)
    markers = ("<think>", "</think>")
    thinks_at_once = True
