"""From the messages of a request to a prompt, by the server's template or the request's own."""

from typing import Any

from paddock.server.chat.messages import template_messages
from paddock.server.chat.template import ChatTemplate, TemplateError, requested_template
from paddock.server.errors import bad_request
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.conversation import Conversation
from paddock.server.serving import Serving


async def encode_messages(conversation: Conversation, serving: Serving) -> tuple[str, list[int]]:
    """Text and token ids of a conversation. Raises ApiError 400 for what the template refuses."""
    text = _render(conversation, serving)
    [token_ids] = await serving.encode([text], conversation.add_special_tokens, "messages")
    if not token_ids:
        raise bad_request("messages: the chat template made an empty prompt of them.", "messages")
    return text, token_ids


def _render(conversation: Conversation, serving: Serving) -> str:
    template = _template(conversation, serving)
    tools = None
    if _shows_tools(conversation, serving):
        template = template.for_tools or template
        tools = _tools(conversation, template)
    try:
        return template.render(
            template_messages(conversation.messages, template.wants_parts),
            tools=tools,
            documents=conversation.documents,
            add_generation_prompt=conversation.add_generation_prompt,
            continue_final_message=conversation.continue_final_message,
            variables=_variables(conversation, template),
        )
    except TemplateError as error:
        raise bad_request(f"{error}.", "messages") from None


def _shows_tools(conversation: Conversation, serving: Serving) -> bool:
    if not conversation.tools:
        return False
    return _may_call(conversation) or not serving.frontend.exclude_tools_when_tool_choice_none


def _may_call(conversation: Conversation) -> bool:
    return not isinstance(conversation, ChatRequest) or conversation.may_call


def _tools(conversation: Conversation, template: ChatTemplate) -> list[dict[str, Any]]:
    if _may_call(conversation) and not template.reads_tools:
        raise bad_request(
            "tools: the chat template of this model does not show them to it. Leave them out, or start the server with "
            "a --chat-template that does.",
            "tools",
        )
    return [tool.plain() for tool in conversation.tools or ()]


def _variables(conversation: Conversation, template: ChatTemplate) -> dict[str, Any]:
    effort = conversation.reasoning_effort
    if effort is None:
        return conversation.chat_template_kwargs
    if "reasoning_effort" not in template.variables:
        raise bad_request(
            "reasoning_effort: the chat template of this model knows no such thing; leave it out.",
            "reasoning_effort",
        )
    return {**conversation.chat_template_kwargs, "reasoning_effort": effort}


def _template(conversation: Conversation, serving: Serving) -> ChatTemplate:
    if conversation.chat_template is not None:
        return _requested(conversation.chat_template, serving)
    if serving.chat_template is None:
        raise bad_request(
            "This model has no chat template, so it cannot take messages. Start the server with --chat-template, or "
            "send a prompt to /v1/completions.",
            "messages",
        )
    return serving.chat_template


def _requested(source: str, serving: Serving) -> ChatTemplate:
    """A template is a program: it is run for callers only where the operator of the server trusts them."""
    if not serving.frontend.trust_request_chat_template:
        raise bad_request(
            "chat_template: this server uses its own template only. Leave the field out, or start the server with "
            "--trust-request-chat-template.",
            "chat_template",
        )
    special_tokens = tuple(sorted(serving.tokenizer.special_tokens.items()))
    try:
        return requested_template(source, special_tokens, serving.frontend.chat_template_content_format)
    except TemplateError as error:
        raise bad_request(f"{error}.", "chat_template") from None
