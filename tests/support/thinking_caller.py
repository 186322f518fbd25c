"""A model that thinks and calls a tool: its template, what it says, and the flags of a server that reads both."""

from typing import Any

TEMPLATE = (
    "{% for tool in tools or [] %}[{{ tool.function.name }}]{% endfor %}{% if enable_thinking %}!{% endif %}"
    "{% for message in messages %}{{ message.role }}:"
    "{% if message.reasoning_content %}({{ message.reasoning_content }}){% endif %}{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}<{{ call.function.name }} {{ call.function.arguments | tojson }}>"
    "{% endfor %}{% if not loop.last or add_generation_prompt %};{% endif %}{% endfor %}"
)
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
THOUGHT = f"<think>Let me see.</think>Sure. {CALL}"
FLAGS: dict[str, Any] = {
    "chat_template": TEMPLATE,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
    "reasoning_parser": "qwen3",
}
