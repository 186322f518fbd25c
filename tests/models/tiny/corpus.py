"""The training corpus: an endless, seeded stream of conversations, drawn from the tasks by weight."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import arithmetic
import calls
import dialogue
import facts
import records
from conversation import Conversation, assistant

Maker = Callable[..., Conversation]


@dataclass(frozen=True)
class Task:
    """A kind of conversation: its share of the corpus, and how to draw one."""

    name: str
    weight: float
    make: Maker
    chatty: bool = False

    @property
    def has_fresh(self) -> bool:
        """True when the task can draw arguments that training never uses."""
        return "fresh" in inspect.signature(self.make).parameters


TASKS = (
    Task("arithmetic", 12, arithmetic.asked, chatty=True),
    Task("equations", 10, arithmetic.lines),
    Task("arithmetic, thinking", 4, arithmetic.reasoned, chatty=True),
    Task("capitals", 10, facts.capital, chatty=True),
    Task("world", 6, facts.world, chatty=True),
    Task("kubernetes", 7, facts.kubernetes, chatty=True),
    Task("texts", 3, facts.text, chatty=True),
    Task("documents", 3, facts.document),
    Task("capitals, thinking", 3, facts.reasoned, chatty=True),
    Task("small talk", 5, dialogue.small_talk, chatty=True),
    Task("persona", 1.5, dialogue.persona),
    Task("names", 2.5, dialogue.my_name),
    Task("counting", 5, dialogue.counting, chatty=True),
    Task("repeat", 8, dialogue.repeat, chatty=True),
    Task("copies", 1, dialogue.copies),
    Task("notes", 5, dialogue.notes),
    Task("json", 10, records.asked, chatty=True),
    Task("tool session", 14, calls.session),
    Task("one tool", 2, calls.one),
    Task("one tool, thinking", 2, calls.reasoned),
    Task("two tools", 4, calls.two),
    Task("no tool", 2, calls.none),
    Task("tool results", 3, calls.reported),
)
CHATTY = tuple(task for task in TASKS if task.chatty)


def late_in_a_chat(rng: Random, conversation: Conversation) -> Conversation:
    """The conversation as the last question of a longer chat about other things."""
    history = []
    for _ in range(rng.randint(1, 6)):
        earlier = rng.choices(CHATTY, [task.weight for task in CHATTY])[0].make(rng)
        history += [*earlier.messages, assistant(earlier.answer)]
    messages = (*history, *conversation.messages)
    return Conversation(conversation.answer, messages, conversation.tools, conversation.thoughts)


def draw(rng: Random, task: Task) -> Conversation:
    """One conversation of the task; some come late in a chat or under a system prompt that changes nothing."""
    conversation = task.make(rng)
    if task.chatty and rng.random() < 0.4:
        conversation = late_in_a_chat(rng, conversation)
    if conversation.messages and conversation.messages[0]["role"] == "user":
        conversation = facts.maybe_system(rng, conversation)
    return conversation


def conversations(seed: int) -> Iterator[Conversation]:
    """The corpus for training; the same seed gives the same stream."""
    rng = Random(seed)
    weights = [task.weight for task in TASKS]
    while True:
        yield draw(rng, rng.choices(TASKS, weights)[0])
