"""Hunyuan A13B: `<think>`, then the answer between `<answer>` and `</answer>`."""

from paddock.server.reasoning.tagged import TaggedReasoning


class Parser(TaggedReasoning):
    starts = ("<think>",)
    ends = ("</think>",)
    markers = ("<think>", "</think>")
    wrapper = ("<answer>", "</answer>")
