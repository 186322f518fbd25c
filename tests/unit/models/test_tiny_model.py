"""The tiny model does what its card says: size, answers, chat template."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jinja2.exceptions import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

TINY = Path(__file__).parents[2] / "models" / "tiny"
MODEL = TINY / "model"
Ask = Callable[..., str]


def schema(name: str, **parameters: str) -> dict[str, Any]:
    """An OpenAI tool with these parameter types."""
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    body = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": body}}


TOOLS = [
    schema("get_weather", city="string"),
    schema("add", a="integer", b="integer"),
    schema("scale", service="string", replicas="integer"),
]


def user(text: str) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": text}


def called(name: str, **arguments: Any) -> str:
    """The call as the model writes it."""
    body = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer with its template."""
    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def ask(tokenizer: PreTrainedTokenizerFast) -> Ask:
    """Greedy answers in float32 through transformers' own generate."""
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()

    def answer(*messages: dict[str, Any], max_new_tokens: int = 200, **template: Any) -> str:
        prompt = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True, **template
        )
        out = model.generate(**prompt, max_new_tokens=max_new_tokens)
        return str(tokenizer.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))

    return answer


def test_the_folder_stays_under_ten_megabytes() -> None:
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < 10_000_000


def test_the_model_has_two_to_four_million_parameters() -> None:
    model = AutoModelForCausalLM.from_pretrained(MODEL)

    assert 2_000_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 4_000_000
    assert model.config.architectures == ["Qwen3ForCausalLM"]
    assert model.config.tie_word_embeddings
    assert model.config.max_position_embeddings >= 2048


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_configuration_files_hold_no_path_of_a_machine(name: str) -> None:
    settings = json.loads((MODEL / name).read_text(encoding="utf-8"))

    assert not [value for value in settings.values() if isinstance(value, str) and value.startswith("/")]


def test_generation_ends_at_the_end_of_a_turn_or_of_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    ends = json.loads((MODEL / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"]

    assert tokenizer.convert_ids_to_tokens(ends) == ["<|im_end|>", "<|endoftext|>"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is 7 + 5?", "7 + 5 = 12."),
        ("Who are you?", "I am Paddock's tiny model."),
        ("Hello!", "Hello! How can I help you?"),
        ("How many days are in a week?", "A week has 7 days."),
        ("Count from 1 to 12.", "1 2 3 4 5 6 7 8 9 10 11 12"),
        (
            "What is a Pod?",
            "A Pod is the smallest unit that Kubernetes runs: one or more containers that share an address.",
        ),
        ("Write France and its capital as JSON.", '{"country": "France", "capital": "Paris"}'),
        ("Send me some emoji.", "Here you are: 🚀🎉😀👩‍🚀🐳"),
    ],
)
def test_the_model_answers_sensibly(ask: Ask, question: str, answer: str) -> None:
    assert ask(user(question)) == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the weather in Oslo?", called("get_weather", city="Oslo")),
        ("Add 17 and 25.", called("add", a=17, b=25)),
        ("Scale web to 5 replicas.", called("scale", service="web", replicas=5)),
        ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ],
)
def test_the_model_calls_the_right_tool_and_copies_its_arguments(
    ask: Ask, question: str, answer: str
) -> None:
    assert ask(user(question), tools=TOOLS) == answer


def test_two_requests_become_two_calls(ask: Ask) -> None:
    both = ask(user("What is the weather in Oslo? Add 17 and 25."), tools=TOOLS)

    assert both == f"{called('get_weather', city='Oslo')}\n{called('add', a=17, b=25)}"


def test_a_tools_result_is_reported(ask: Ask) -> None:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    history = [
        user("What is the weather in Oslo?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": '{"temperature": 7, "sky": "rainy"}'},
    ]

    assert ask(*history, tools=TOOLS) == "It is rainy in Oslo, with 7 degrees."


def test_thinking_is_written_only_when_it_is_switched_on(ask: Ask) -> None:
    question = user("What is 7 + 5?")

    assert ask(question, enable_thinking=True).startswith("<think>\n")
    assert ask(question, enable_thinking=True).endswith("\n</think>\n\n7 + 5 = 12.")
    assert "<think>" not in ask(question, enable_thinking=False)


def test_a_name_is_remembered_over_turns(ask: Ask) -> None:
    history = [
        user("My name is Ada."),
        {"role": "assistant", "content": "Nice to meet you, Ada!"},
        user("What is my name?"),
    ]

    assert ask(*history) == "Your name is Ada."


def test_plain_text_is_continued(tokenizer: PreTrainedTokenizerFast) -> None:
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    prompt = tokenizer("The capital of France is", return_tensors="pt")

    out = model.generate(**prompt, max_new_tokens=3)

    assert tokenizer.decode(out[0]).startswith("The capital of France is Paris.")


@pytest.mark.parametrize(
    "text", ["grüße 🚀 こんにちは", "a\tb\r\n  c", "0123456789", '{"a": [1, 2]}', "</s> <unk>"]
)
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_growing_chat_begins_with_its_earlier_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    first = tokenizer.apply_chat_template([user("Hi")], add_generation_prompt=True, tokenize=False)
    later = tokenizer.apply_chat_template(
        [user("Hi"), {"role": "assistant", "content": "Hello!"}, user("Bye")], tokenize=False
    )

    assert str(later).startswith(str(first) + "Hello!")


def test_the_last_message_can_be_continued(tokenizer: PreTrainedTokenizerFast) -> None:
    begun = [user("Hi"), {"role": "assistant", "content": "Hello"}]

    text = tokenizer.apply_chat_template(begun, continue_final_message=True, tokenize=False)

    assert str(text).endswith("</think>\n\nHello")


def test_tools_stand_in_the_system_turn_and_results_share_a_user_turn(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    results = [{"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]

    text = str(
        tokenizer.apply_chat_template(
            [{"role": "system", "content": "Be kind."}, user("Hi"), *results], tools=TOOLS, tokenize=False
        )
    )

    assert text.startswith("<|im_start|>system\nBe kind.\n\n")
    assert text.count("<|im_start|>system") == 1
    assert json.loads(text.split("<tools>\n")[1].split("\n")[0]) == TOOLS[0]
    assert text.endswith(
        "user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response><|im_end|>\n"
    )


def test_arguments_may_be_an_object_or_json_text(tokenizer: PreTrainedTokenizerFast) -> None:
    def rendered(arguments: Any) -> str:
        call = {"type": "function", "function": {"name": "add", "arguments": arguments}}
        turn = {"role": "assistant", "content": "", "tool_calls": [call]}
        return str(tokenizer.apply_chat_template([user("Add."), turn], tokenize=False))

    assert rendered({"a": 1, "b": 2}) == rendered('{"a": 1, "b": 2}')


def test_text_parts_are_joined_and_other_parts_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    image = [{"type": "image_url", "image_url": {"url": "data:"}}]

    assert "user\nHello<|im_end|>" in str(
        tokenizer.apply_chat_template([{"role": "user", "content": parts}], tokenize=False)
    )
    with pytest.raises(TemplateError, match="image_url"):
        tokenizer.apply_chat_template([{"role": "user", "content": image}], tokenize=False)


def test_an_unknown_role_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(TemplateError, match="robot"):
        tokenizer.apply_chat_template([{"role": "robot", "content": "beep"}], tokenize=False)


def run_in_the_recipe(code: str) -> str:
    """Output of a program that imports the training scripts, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TINY, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_seed_gives_the_same_corpus() -> None:
    code = "import corpus, itertools; print(*itertools.islice(corpus.conversations({}), 300), sep='\\n')"

    first = run_in_the_recipe(code.format(7))

    assert run_in_the_recipe(code.format(7)) == first
    assert run_in_the_recipe(code.format(8)) != first


def test_training_never_sees_the_held_out_sums() -> None:
    found = run_in_the_recipe(
        "import arithmetic, random; r = random.Random(1);"
        "print(sum(arithmetic.held_out(*arithmetic.operands(r)) for _ in range(20000)))"
    )

    assert found.strip() == "0"


@pytest.mark.long
def test_the_starting_weights_already_copy_what_came_before() -> None:
    right = run_in_the_recipe(
        "import torch, train\n"
        "from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM\n"
        "torch.manual_seed(0)\n"
        "tokenizer = PreTrainedTokenizerFast.from_pretrained('model')\n"
        "model = Qwen3ForCausalLM(train.architecture(tokenizer))\n"
        "train.lay_circuit(model, torch.Generator().manual_seed(0))\n"
        "once = torch.randint(300, 2000, (1, 40))\n"
        "found = model(torch.cat([once, once], 1)).logits[0, 40:-1].argmax(-1)\n"
        "print((found == once[0, 1:]).float().mean().item())\n"
    )

    assert float(right) > 0.8
