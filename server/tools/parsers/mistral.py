"""Mistral: `[TOOL_CALLS]` before a JSON list, or in newer models before each `name[ARGS]{…}`.

Their templates take call ids of nine letters and digits and no others.
"""

import secrets
import string

from paddock.server.tools.incremental import Parsing
from paddock.server.tools.json_call import json_calls, named_call
from paddock.server.tools.parser import ToolParser
from paddock.server.tools.registry import register_tool_parser
from paddock.server.tools.source import Source

ID_CHARACTERS = string.ascii_letters + string.digits
ID_LENGTH = 9
_NAME = frozenset(ID_CHARACTERS + "_.-")


@register_tool_parser("mistral")
class MistralParser(ToolParser):
    markers = ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]")

    def grammar(self, source: Source) -> Parsing[None]:
        yield from self.calls_at(_calls, "[TOOL_CALLS]")

    def new_call_id(self) -> str:
        return "".join(secrets.choice(ID_CHARACTERS) for _ in range(ID_LENGTH))


def _calls(source: Source) -> Parsing[None]:
    if (yield from source.peek_past_space()) in "[{":
        yield from json_calls(source)
        return
    name = yield from source.take_while(_NAME)
    call_id = ""
    if (yield from source.takes("[CALL_ID]")) is not None:
        call_id = yield from source.take_while(ID_CHARACTERS)
    yield from source.takes("[ARGS]")
    yield from named_call(source, name, call_id if len(call_id) == ID_LENGTH else None)
