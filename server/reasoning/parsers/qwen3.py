"""Qwen 3: `<think>` by the model or by the prompt; the prompt closes the block when enable_thinking is false."""

from paddock.server.reasoning.tagged import TaggedReasoning


class Parser(TaggedReasoning):
    starts = ("<think>",)
    ends = ("</think>",)
    markers = ("<think>", "</think>")
