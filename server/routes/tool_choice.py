"""Which choices of tools this server can keep its word on."""

from paddock.server.errors import bad_request
from paddock.server.protocol.chat import ChatRequest
from paddock.server.serving import Serving


def refuse_unparsable_calls(request: ChatRequest, serving: Serving) -> None:
    """Raise ApiError 400 when calls could neither be forced nor found."""
    if not request.may_call:
        return
    if request.tool_choice != "auto":
        # A prompt can ask for a call; only a constraint on the tokens makes sure of one.
        raise bad_request(
            "tool_choice: required and a named function are not supported yet; send auto or none.",
            "tool_choice",
        )
    if not serving.frontend.enable_auto_tool_choice or serving.parsers.tools is None:
        raise bad_request(
            "tools: this server was started without --enable-auto-tool-choice and --tool-call-parser, so it cannot "
            "find the model's calls. Start it with them, leave tools out, or send tool_choice none.",
            "tools",
        )
