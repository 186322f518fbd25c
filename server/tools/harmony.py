"""Harmony, the format of gpt-oss: an answer is messages, each with a channel and perhaps a recipient.

`<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary to=functions.f
<|constrain|>json<|message|>{…}<|call|>`: analysis is reasoning, `functions.…` are calls, the rest is content.
"""

import re

from paddock.server.tools.incremental import IncrementalParser, Parsing, reasoned_until, shown_until
from paddock.server.tools.json_call import named_call
from paddock.server.tools.source import NEVER, Source

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
MARKERS = (START, CHANNEL, MESSAGE, *ENDS, "<|constrain|>")
MAX_HEADER = 400
_RECIPIENT = re.compile(r"to=([\w.\-]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")


def harmony_messages(parser: IncrementalParser, source: Source, *, finds_calls: bool) -> Parsing[None]:
    """All messages of an answer. The prompt ends where the first header begins, so that one may lack its start."""
    if (yield from source.sees(" to=", "to=")) is not None:
        yield from parser.attempt(_message(source, finds_calls))
    while (yield from shown_until(source, START, CHANNEL)) is not None:
        yield from parser.attempt(_message(source, finds_calls))


def _message(source: Source, finds_calls: bool) -> Parsing[None]:
    yield from source.take_until(MESSAGE, limit=MAX_HEADER)
    header = source.text[: source.at]
    recipient = _RECIPIENT.search(header)
    channel = _CHANNEL.search(header)
    function = recipient.group(1) if recipient and finds_calls else ""
    if function.startswith("functions."):
        yield from named_call(source, function.removeprefix("functions."))
        yield from source.skip_space()
        yield from source.takes(*ENDS)
        return
    source.commit()
    if channel and channel.group(1) == "analysis":
        source.reasoning_end = NEVER
        mark = yield from reasoned_until(source, *ENDS, START, CHANNEL)
        source.reasoning_end = NEVER if mark is None else source.position
    else:
        mark = yield from shown_until(source, *ENDS, START, CHANNEL)
    if mark in (START, CHANNEL):  # the next message has begun without an end of this one
        source.at -= len(mark)
