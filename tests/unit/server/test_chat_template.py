"""Templates render as in transformers, inside a sandbox."""

import json
from pathlib import Path
from typing import Any

import pytest

from paddock.server.chat.template import ChatTemplate, TemplateError, load_chat_template
from paddock.server.tokens.tokenizer import Tokenizer

TEMPLATES = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "tojson": "{% for m in messages %}{{ m | tojson(indent=2) }}{{ '<é>' | tojson }}{% endfor %}",
    "loops": "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content }};{% endfor %}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% endfor %}",
    "namespace": "{% set ns = namespace(count=0) %}{% for m in messages %}"
    "{% set ns.count = ns.count + 1 %}{% endfor %}{{ ns.count }} {{ bos_token }}{{ eos_token }}",
    "reasoning": "{% for m in messages %}{{ m.reasoning_content | default('none') }} {{ m.content }}\n{% endfor %}",
    "variables": "{{ 'thinks' if enable_thinking is not defined or enable_thinking else 'acts' }}{{ tools is none }}",
    "dictionary": "{% set d = dict(a=1) %}{{ d.a }}{{ strftime_now('%Y') }}",
}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Grüße & <b>  "},
    {"role": "assistant", "content": "Hi", "reasoning": "greet back"},
    {"role": "user", "content": "Bye"},
]


@pytest.fixture(scope="module")
def reference(byte_level_folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(byte_level_folder)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("variables", [{}, {"enable_thinking": False}], ids=["plain", "no-thinking"])
def test_rendering_equals_transformers(
    name: str, variables: dict[str, Any], tokenizer: Tokenizer, reference: Any
) -> None:
    expected = reference.apply_chat_template(
        MESSAGES, chat_template=TEMPLATES[name], tokenize=False, add_generation_prompt=True, **variables
    )
    template = ChatTemplate(TEMPLATES[name], tokenizer.special_tokens)
    assert template.render(MESSAGES, variables=variables) == expected


@pytest.mark.parametrize("trailing", ["", "  ", "\n"])
@pytest.mark.parametrize("name", ["chatml", "loops"])
def test_continuing_the_last_message_equals_transformers(
    name: str, trailing: str, tokenizer: Tokenizer, reference: Any
) -> None:
    source = TEMPLATES[name]
    messages = [MESSAGES[1], {"role": "assistant", "content": "Once upon" + trailing}]
    expected = reference.apply_chat_template(
        messages, chat_template=source, tokenize=False, continue_final_message=True
    )
    template = ChatTemplate(source, tokenizer.special_tokens)
    shown = template.render(messages, add_generation_prompt=False, continue_final_message=True)
    assert shown == expected


def test_the_models_own_template_tokenizes_as_in_transformers(tokenizer: Tokenizer, reference: Any) -> None:
    template = load_chat_template(tokenizer, None)
    assert template is not None
    ours = tokenizer.encode(template.render(MESSAGES), False)
    theirs = reference.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=False)
    assert ours == theirs


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ namespace(__class__=1) }}",
        "{{ raise_exception('roles must alternate') }}",
        "{{ 1 / 0 }}",
        "{% for i in range(10**9) %}{% endfor %}",
    ],
)
def test_a_template_that_misbehaves_is_an_error_for_the_caller(attack: str) -> None:
    with pytest.raises(TemplateError, match="refuses"):
        ChatTemplate(attack, {}).render(MESSAGES)


def test_a_broken_template_names_the_line() -> None:
    with pytest.raises(TemplateError, match="line 2"):
        ChatTemplate("fine\n{% if %}", {})


def test_a_template_file_or_text_wins_over_the_models_own(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("mine")
    for chosen in (str(path), "{{ 'mine' }}"):
        template = load_chat_template(tokenizer, chosen)
        assert template is not None
        assert template.render(MESSAGES) == "mine"


def test_a_missing_template_file_says_what_to_give(tokenizer: Tokenizer) -> None:
    with pytest.raises(TemplateError, match="--chat-template nowhere"):
        load_chat_template(tokenizer, "nowhere.jinja")


def test_a_template_that_loops_over_content_wants_parts() -> None:
    assert ChatTemplate(
        "{% for m in messages %}{% for p in m.content %}{{p}}{% endfor %}{% endfor %}", {}
    ).wants_parts
    assert ChatTemplate(
        "{% for m in messages %}{% for p in m['content'] %}{{p}}{% endfor %}{% endfor %}", {}
    ).wants_parts
    assert not ChatTemplate(TEMPLATES["chatml"], {}).wants_parts


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{% for m in messages %}{{ 'calls' if m['content'] is none else 'text' }}{% endfor %}", "calls"),
        ("{% for m in messages %}{% set c = m.content %}{{ c is not none }}{% endfor %}", "False"),
        ("{% for m in messages %}{{ 'x' in m.content }}{{ 'content' in m }}{% endfor %}", "FalseFalse"),
    ],
)
def test_a_message_with_calls_alone_has_null_content_for_templates_that_ask(source: str, shown: str) -> None:
    message = {"role": "assistant", "tool_calls": [{"type": "function"}]}
    assert ChatTemplate(source, {}).render([message]) == shown


def test_named_templates_of_the_model_are_chosen_by_name(byte_level_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_level_folder / "tokenizer.json").read_bytes())
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    tokenizer = Tokenizer(tmp_path)
    for chosen, text in ((None, "plain"), ("tool_use", "tools")):
        template = load_chat_template(tokenizer, chosen)
        assert template is not None
        assert template.render(MESSAGES) == text
    (tmp_path / "chat_template.jinja").write_text("file")
    template = load_chat_template(tokenizer, None)
    assert template is not None
    assert template.render(MESSAGES) == "file"


def test_a_broken_older_template_file_is_named(byte_level_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_level_folder / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.json").write_text("{}")
    with pytest.raises(TemplateError, match=r"chat_template\.json"):
        load_chat_template(Tokenizer(tmp_path), None)
