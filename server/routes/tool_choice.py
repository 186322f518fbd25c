"""Which choices of tools this server can keep its word on."""

from paddock.server.errors import bad_request
from paddock.server.protocol.chat import ChatRequest
from paddock.server.serving import Serving


def refuse_unparsable_calls(request: ChatRequest, serving: Serving) -> None:
    """Raise ApiError 400 when the model's own calls could not be found. Forced ones have a form of ours."""
    if not request.may_call or request.must_call:
        return
    if not serving.frontend.enable_auto_tool_choice or serving.parsers.tools is None:
        raise bad_request(
            "tools: this server was started without --enable-auto-tool-choice and --tool-call-parser, so it cannot "
            "find the model's calls. Start it with them, leave tools out, or send tool_choice none.",
            "tools",
        )
