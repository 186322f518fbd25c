"""The trained tiny model, real prompts, all answers ended by EOS: the judge is transformers in float32."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from paddock.engine.sampling.params import SamplingParams

TINY = Path(__file__).parents[3] / "models" / "tiny" / "model"
QUESTIONS = [
    "What is 17 plus 25?", "What is the capital of France?", "What is a Pod?", "Hello!", "What is a StatefulSet?",
    "What is 9 times 8?", "Who are you?", "Give me a JSON object.", "What is the capital of Japan?", "Thanks!",
    "What is a Service in Kubernetes?", "What is 100 minus 1?", "What does kubectl do?", "What is 3 plus 4?",
    "Write a JSON object with a name and an age.", "What is the largest ocean?",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(request):
    from dataclasses import make_dataclass

    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        for question in QUESTIONS
    ]
    eos = json.loads((TINY / "config.json").read_text())["eos_token_id"]
    with torch.inference_mode():
        answers = [answer_of(model, prompt) for prompt in prompts]
    return make_dataclass("Trained", ["model", "prompts", "answers", "eos"])(model, prompts, answers, eos)


def answer_of(model, prompt):
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=48, do_sample=False)
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"enable_prefix_caching": False},
        {"max_num_batched_tokens": 31, "max_num_seqs": 7},
        {"num_gpu_blocks_override": 20, "max_model_len": 128},
    ],
    ids=["roomy", "no-prefix-caching", "chunked", "preempted"],
)
def test_every_answer_is_that_of_generate(engine, checkpoint_type, trained, changes):
    served = engine(
        checkpoint_type(TINY, trained.model),
        **({"max_model_len": 1024, "eos_token_ids": (trained.eos,)} | changes),
    )

    # Twice the questions: a batch of 32, and a warm prefix cache for the second half.
    answers = served.generate(trained.prompts * 2, SamplingParams(max_tokens=48, temperature=0))

    assert answers == trained.answers * 2
    if "num_gpu_blocks_override" in changes:
        assert served.core.counters().num_preemptions > 0


def test_answers_end_by_themselves(trained):
    assert sum(answer[-1] == trained.eos for answer in trained.answers) > len(QUESTIONS) / 2
