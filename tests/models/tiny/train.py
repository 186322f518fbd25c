"""Train the tiny model: `python tests/models/tiny/train.py` writes `model/` beside this file.

Reproducible: one seed drives the corpus and the initial weights, the number of steps is fixed (never a clock), torch
runs with deterministic algorithms and a fixed number of threads. The same torch build on the same kind of processor
gives the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import corpus
import tokenizer as vocabulary
import torch
from initial import lay_circuit
from packing import Batch, Encoder, batches
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

MODEL = Path(__file__).with_name("model")
CONTEXT = 2048
SHORT_ROW = 512
TOKENS_PER_STEP = 2048
LONG_ROWS = 0.1  # share of the steps, at the end, whose rows are as long as the context
PEAK_RATE = 4e-3


def architecture(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """Qwen3, 2.9 million parameters, embeddings tied."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=vocabulary.token_id(tokenizer, vocabulary.END_OF_TURN),
        pad_token_id=vocabulary.token_id(tokenizer, vocabulary.END_OF_TEXT),
    )


def optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, which learn faster with it; AdamW for embeddings and norms."""
    named = list(model.named_parameters())
    inner = [p for n, p in named if p.ndim == 2 and "embed" not in n]
    outer = [p for n, p in named if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(inner, lr=PEAK_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw", ns_steps=4),
        torch.optim.AdamW(outer, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int) -> float:
    """Share of the peak rate: a short rise, a plateau, and a straight fall to zero over the second half."""
    progress = step / steps
    return min(1.0, (step + 1) / 40, (1.0 - progress) / 0.5)


def data(tokenizer: PreTrainedTokenizerFast, seed: int, steps: int) -> Iterator[Batch]:
    """Exactly `steps` batches of TOKENS_PER_STEP tokens: short rows, and at last rows as long as the context."""
    separator = vocabulary.token_id(tokenizer, vocabulary.END_OF_TEXT)
    examples = map(Encoder(tokenizer), corpus.conversations(seed))
    last = int(steps * LONG_ROWS)
    for length, count in ((SHORT_ROW, steps - last), (CONTEXT, last)):
        yield from islice(batches(examples, length, TOKENS_PER_STEP // length, separator), count)


def loss_of(model: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross entropy over the tokens to learn; logits are computed for those alone."""
    hidden = model.model(batch.tokens, use_cache=False).last_hidden_state[:, :-1]
    wanted = batch.learn[:, 1:]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[wanted]), batch.tokens[:, 1:][wanted])


def train(tokenizer: PreTrainedTokenizerFast, seed: int, steps: int) -> Qwen3ForCausalLM:
    """A trained model in float32; the bar shows the loss, smoothed, and the time left."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(architecture(tokenizer))
    lay_circuit(model, torch.Generator().manual_seed(seed))
    steppers = optimizers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, lambda step: rate(step, steps)) for each in steppers]
    smooth = 0.0
    with tqdm(total=steps, desc="training", unit="step", mininterval=2) as bar:
        for step, batch in enumerate(data(tokenizer, seed, steps)):
            loss = loss_of(model, batch)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for stepper, schedule in zip(steppers, schedules, strict=True):
                stepper.step()
                stepper.zero_grad()
                schedule.step()
            smooth = loss.item() if step == 0 else 0.97 * smooth + 0.03 * loss.item()
            bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
            bar.update()
    return model.eval()


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Weights in bfloat16 (half the size), a config that asks for float32, tokenizer, template, generation config."""
    weights = {
        name: tensor.bfloat16() for name, tensor in model.state_dict().items() if name != "lm_head.weight"
    }
    end = [
        vocabulary.token_id(tokenizer, token) for token in (vocabulary.END_OF_TURN, vocabulary.END_OF_TEXT)
    ]
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end[1])
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # pods read it as another user


def main() -> None:
    """Parse the command line, train, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=MODEL, help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=7, help="corpus and initial weights (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=1500, help="optimizer steps (default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=2, help="torch threads; part of the recipe (default: %(default)s)"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    tokenizer = vocabulary.train(options.seed)
    save(train(tokenizer, options.seed, options.steps), tokenizer, options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
