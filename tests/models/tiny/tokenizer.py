"""Byte-level BPE of 2,048 tokens, trained on the corpus, with the ChatML template attached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import corpus
from conversation import Conversation
from jinja2.exceptions import TemplateError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 2048
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Marks that parsers look for stay in decoded text, so they are added tokens but not special ones.
MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
NO_THOUGHTS = "<think>\n\n</think>\n\n"
SAMPLE = 4000


def split() -> pre_tokenizers.PreTokenizer:
    """Digits and line ends are tokens of their own, the rest is cut into words.

    Digits: numbers can be copied and added place by place. Line ends: a prompt that ends with one has the same tokens
    with and without the answer behind it.
    """
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


def texts(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[str]:
    """What the merges are learned from: rendered conversations, cut at the added tokens."""
    marks = re.compile("|".join(re.escape(mark) for mark in (END_OF_TEXT, TURN, END_OF_TURN, *MARKS)))
    for conversation in islice(corpus.conversations(seed), SAMPLE):
        yield from marks.split(prompt_of(tokenizer, conversation) + conversation.completion)


def train(seed: int) -> PreTrainedTokenizerFast:
    """A tokenizer for the corpus of `seed`, ready to be saved."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = split()
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(MARKS),
        special_tokens=[END_OF_TEXT, TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    bpe.train_from_iterator(texts(with_template(bpe), seed), trainer)
    bpe.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    return with_template(bpe)


def with_template(bpe: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers and servers load it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
    )


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The id of an added token."""
    return int(tokenizer.get_vocab()[token])


def prompt_of(tokenizer: PreTrainedTokenizerFast, conversation: Conversation) -> str:
    """The text before the model's turn; empty for a plain document."""
    if not conversation.messages:
        return ""
    try:
        rendered = tokenizer.apply_chat_template(
            list(conversation.messages),
            tools=list(conversation.tools) or None,
            add_generation_prompt=True,
            tokenize=False,
            enable_thinking=conversation.thoughts is not None,
        )
    except TemplateError as error:
        raise ValueError(f"the chat template refused {conversation.messages!r}: {error}") from error
    return str(rendered)
