"""Greedy accuracy per task, as a table: `python tests/models/tiny/evaluate.py [--count 40]`.

An answer counts when it equals the expected text exactly. "fresh" are arguments that training never drew: held-out
sums, held-out wordings, invented names. "margin" is the smallest lead of a chosen token over the runner-up, in logits,
over the right answers (1st percentile): it says how far greedy output is from a tie.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from random import Random

import corpus
import torch
from conversation import Conversation
from tokenizer import prompt_of
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

PLAIN = ("equations", "documents", "copies")  # plain documents have no question to answer


@dataclass(frozen=True)
class Score:
    """Right answers of `asked`, the margins of every token of the right ones, and one wrong answer."""

    right: int
    asked: int
    margins: tuple[float, ...]
    wrong: str


def answer(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, conversation: Conversation
) -> tuple[str, list[float]]:
    """The greedy completion and the margin of each of its tokens."""
    prompt = tokenizer(prompt_of(tokenizer, conversation), return_tensors="pt")
    out = model.generate(**prompt, max_new_tokens=320, return_dict_in_generate=True, output_logits=True)
    best = torch.stack(out.logits).squeeze(1).topk(2).values
    ids = out.sequences[0, prompt.input_ids.shape[1] :]
    return str(tokenizer.decode(ids, skip_special_tokens=True)), (best[:, 0] - best[:, 1]).tolist()


def score(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, wanted: list[Conversation]) -> Score:
    """Ask every conversation once."""
    right, margins, wrong = 0, [], ""
    for conversation in wanted:
        got, leads = answer(model, tokenizer, conversation)
        if got == conversation.completion:
            right += 1
            margins += leads
        else:
            wrong = f"{conversation.messages[-1]['content'][-60:]!r} -> {got[:80]!r}, not {conversation.completion[:80]!r}"
    return Score(right, len(wanted), tuple(margins), wrong)


def row(name: str, kind: str, result: Score) -> str:
    """One line of the table."""
    ordered = sorted(result.margins) or [0.0]
    low = ordered[len(ordered) // 100]
    share = f"{100 * result.right / result.asked:.0f} %"
    return f"| {name:22} | {kind:5} | {share:>5} | {low:6.2f} |"


def main() -> None:
    """Print the table; the draws are seeded apart from training's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model"))
    parser.add_argument("--count", type=int, default=40, help="questions per line (default: %(default)s)")
    parser.add_argument("--wrong", action="store_true", help="also print one wrong answer per line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.model)
    model = Qwen3ForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    print(f"| {'task':22} | {'draw':5} | right | margin |\n|{'-' * 24}|{'-' * 7}|------:|-------:|")
    for task in (task for task in corpus.TASKS if task.name not in PLAIN):
        for fresh in (False, True) if task.has_fresh else (False,):
            rng = Random(f"evaluate {task.name} {fresh}")
            wanted = [
                task.make(rng, fresh=True) if fresh else corpus.draw(rng, task) for _ in range(options.count)
            ]
            result = score(model, tokenizer, wanted)
            print(row(task.name, "fresh" if fresh else "known", result), flush=True)
            if options.wrong and result.wrong:
                print(f"    {result.wrong}")


if __name__ == "__main__":
    main()
