"""Render chat messages with the model's template, or the one the operator of the server gave."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes

from paddock.server.chat.content_format import ContentFormat, knows_null, wants_parts
from paddock.server.chat.environment import template_environment
from paddock.server.tokens.tokenizer import Tokenizer

CONTINUE_MARK = "\x02continue-here\x02 "
"""Ends in a space: when the template trims that away, it would have trimmed the message's own end, too."""
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")


class TemplateError(Exception):
    """A template that cannot be compiled, or refuses these messages; the text is for the caller."""


class ChatTemplate:
    """A compiled template with the tokenizer's special tokens as variables."""

    def __init__(
        self, source: str, special_tokens: Mapping[str, str], content_format: ContentFormat = "auto"
    ) -> None:
        self.source = source
        environment = template_environment()
        try:
            self._template = environment.from_string(source)
            tree = environment.parse(source)
            self.wants_parts = wants_parts(tree, content_format)
            self._knows_null = knows_null(tree)
            self.variables = jinja2.meta.find_undeclared_variables(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                f"line {error.lineno} of the chat template cannot be compiled: {error.message}"
            ) from error
        except Exception as error:  # Python's own limits, on nesting for example
            raise TemplateError(f"the chat template cannot be compiled: {error}") from error
        self.reads_tools = any(name.name == "tools" for name in tree.find_all(jinja2.nodes.Name))
        self._special_tokens = special_tokens
        self.for_tools: ChatTemplate | None = None
        """The template of prompts with tools, where a model has one of its own for them."""

    def render(
        self,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None = None,
        documents: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        variables: dict[str, Any] | None = None,
    ) -> str:
        """The prompt of a conversation. Raises TemplateError with the template's own words."""
        shown = [_with_reasoning(message) for message in messages]
        if self._knows_null:
            shown = [message if "content" in message else {**message, "content": None} for message in shown]
        if continue_final_message:
            shown[-1] = _marked(shown[-1])
        try:
            text = self._template.render(
                messages=shown,
                tools=tools,
                documents=documents,
                add_generation_prompt=add_generation_prompt,
                **{**self._special_tokens, **(variables or {})},
            )
        # A template is a program of its own: whatever it raises is about this conversation, not about us.
        except Exception as error:
            raise TemplateError(f"the chat template refuses these messages: {error}") from error
        return _cut_at_mark(text) if continue_final_message else text


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Drop null values and give reasoning text both names that templates read."""
    message = {key: value for key, value in message.items() if value is not None}
    reasoning = next((message[key] for key in REASONING_FIELDS if key in message), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def _marked(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list) and content:
        last = {**content[-1], "text": content[-1].get("text", "") + CONTINUE_MARK}
        return {**message, "content": [*content[:-1], last]}
    if isinstance(content, str):
        return {**message, "content": content + CONTINUE_MARK}
    raise TemplateError("continue_final_message needs a last message with text content")


def _cut_at_mark(text: str) -> str:
    at = text.rfind(CONTINUE_MARK.strip())
    if at < 0:
        raise TemplateError("continue_final_message: the chat template leaves out the last message")
    kept = text.startswith(CONTINUE_MARK, at)
    return text[:at] if kept else text[:at].rstrip()


@lru_cache(maxsize=32)
def requested_template(
    source: str, special_tokens: tuple[tuple[str, str], ...], content_format: ContentFormat
) -> ChatTemplate:
    """The template of a request; callers send the same one again and again. Raises TemplateError."""
    return ChatTemplate(source, dict(special_tokens), content_format)


def load_chat_template(
    tokenizer: Tokenizer, chosen: str | None, content_format: ContentFormat = "auto"
) -> ChatTemplate | None:
    """`--chat-template` (a path, the text itself, or the name of one of the model's), else the model's own.

    A model's own one of the name `tool_use` serves the prompts with tools. None when there is none: completions still
    work then. Raises TemplateError when the chosen one cannot be used.
    """
    own = _own_templates(tokenizer)
    source = own.get("default") if chosen is None else own.get(chosen) or _read_chosen(chosen)
    if source is None:
        return None
    try:
        template = ChatTemplate(source, tokenizer.special_tokens, content_format)
        if chosen is None and "tool_use" in own:
            template.for_tools = ChatTemplate(own["tool_use"], tokenizer.special_tokens, content_format)
        return template
    except TemplateError as error:
        raise TemplateError(f"{error}. Give a working one with --chat-template.") from error


def _read_chosen(chosen: str) -> str:
    if "{" in chosen or "\n" in chosen:
        return chosen
    try:
        return Path(chosen).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(
            f"--chat-template {chosen}: cannot be read ({error}). Give the path of a Jinja file or the template text."
        ) from error


def _own_templates(tokenizer: Tokenizer) -> dict[str, str]:
    """The model's templates by name. A file of its own wins over the entry in tokenizer_config.json."""
    entry = tokenizer.config.get("chat_template")
    found = _named(entry)
    older = tokenizer.folder / "chat_template.json"
    if older.is_file():
        try:
            found.update(_named(json.loads(older.read_text(encoding="utf-8"))["chat_template"]))
        except (ValueError, KeyError, TypeError) as error:
            raise TemplateError(f"{older} cannot be read: {error!r}. Download the file again.") from error
    for path in sorted((tokenizer.folder / "additional_chat_templates").glob("*.jinja")):
        found[path.stem] = path.read_text(encoding="utf-8")
    single = tokenizer.folder / "chat_template.jinja"
    if single.is_file():
        found["default"] = single.read_text(encoding="utf-8")
    return found


def _named(entry: object) -> dict[str, str]:
    """One template, or a list of `{"name", "template"}`; what is neither is left out."""
    if isinstance(entry, str):
        return {"default": entry}
    named = [item for item in entry if isinstance(item, dict)] if isinstance(entry, list) else []
    return {
        str(item.get("name")): item["template"] for item in named if isinstance(item.get("template"), str)
    }
