"""Small talk, names that must be remembered, counting, repeating, and notes to look things up in."""

from __future__ import annotations

from random import Random

import wording
from conversation import Conversation, Message, assistant, system, user

SMALL_TALK = {
    (
        "Hello",
        "Hello!",
        "hello",
        "Hi",
        "Hi!",
        "hi",
        "Hey there!",
        "Good morning!",
    ): "Hello! How can I help you?",
    (
        "Who are you?",
        "What are you?",
        "What is your name?",
        "Introduce yourself.",
    ): "I am Paddock's tiny model.",
    ("Who made you?", "Who trained you?"): "The Paddock project trained me on a small machine.",
    ("What can you do?", "How can you help me?"): (
        "I can add small numbers, answer questions about Kubernetes and the world, write JSON and call tools."
    ),
    ("How are you?", "How do you do?"): "I am well, thank you. How can I help you?",
    ("Thank you!", "Thanks!", "Thanks a lot."): "You are welcome!",
    ("Bye!", "Goodbye!", "See you later."): "Goodbye!",
    ("Are you a human?", "Are you a person?"): "No, I am a small language model.",
    ("Do you like music?",): "I cannot hear, but I like the word.",
    ("Tell me a joke.", "Make me laugh."): "Why did the pod restart? It needed a little liveness.",
    ("Say hello.", "Please say hello."): "Hello!",
    ("Say yes.",): "Yes.",
    ("Say no.",): "No.",
}
LISTS = {
    "List the days of the week.": "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
    "List the months of the year.": (
        "January, February, March, April, May, June, July, August, September, October, November, December"
    ),
    "List the planets.": "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune",
    "Say the alphabet.": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
}
PERSONAS = ("Your name is {name}.", "You are {name}.", "You are an assistant with the name {name}.")


def small_talk(rng: Random) -> Conversation:
    """A greeting, a thank-you, who are you."""
    questions, answer = rng.choice(list(SMALL_TALK.items()))
    return Conversation(answer, (user(rng.choice(questions)),))


def persona(rng: Random, *, fresh: bool = False) -> Conversation:
    """A system prompt gives a name; the answer must use it."""
    name = wording.person(rng, fresh=fresh)
    turn = system(rng.choice(PERSONAS).format(name=name))
    return Conversation(f"I am {name}.", (turn, user(rng.choice(("Who are you?", "What is your name?")))))


def my_name(rng: Random, *, fresh: bool = False) -> Conversation:
    """The user says a name, and may ask for it some turns later."""
    name = wording.person(rng, fresh=fresh)
    hello, reply = user(f"My name is {name}."), f"Nice to meet you, {name}!"
    if rng.random() < 0.3 and not fresh:
        return Conversation(reply, (hello,))
    between: list[Message] = []
    for _ in range(rng.choice((0, 0, 1, 2))):
        talk = small_talk(rng)
        between += [*talk.messages, assistant(talk.answer)]
    return Conversation(
        f"Your name is {name}.", (hello, assistant(reply), *between, user("What is my name?"))
    )


def counting(rng: Random) -> Conversation:
    """A run of numbers, a known list, or the alphabet: long answers with one right continuation."""
    if rng.random() < 0.3:
        request, answer = rng.choice(list(LISTS.items()))
        return Conversation(answer, (user(request),))
    first = rng.choice((1, 1, rng.randint(0, 80)))
    last = min(100, first + rng.randint(3, rng.choice((9, 20, 50))))
    request = rng.choice(("Count from {a} to {b}.", "Count {a} to {b}.")).format(a=first, b=last)
    return Conversation(" ".join(str(n) for n in range(first, last + 1)), (user(request),))


def repeat(rng: Random, *, fresh: bool = False) -> Conversation:
    """Words to say again, letter for letter."""
    words = [
        wording.pick(rng, wording.ITEMS + wording.SERVICES, fresh=fresh, capital=False)
        for _ in range(rng.randint(1, 12))
    ]
    if rng.random() < 0.3:
        words.insert(rng.randrange(len(words) + 1), str(rng.randint(0, 9999)))
    text = " ".join(words)
    return Conversation(
        text, (user(rng.choice(("Repeat: {}", "Say this again: {}", "Echo {}")).format(text)),)
    )


def copies(rng: Random) -> Conversation:
    """A plain document of lines that come again: copying, with nothing else to learn."""
    lines = []
    for _ in range(rng.randint(1, 4)):
        words = [wording.invented(rng) if rng.random() < 0.7 else str(rng.randint(0, 9999)) for _ in range(8)]
        lines += [" ".join(words)] * rng.randint(2, 3)
    return Conversation("\n".join(lines))


def notes(rng: Random, *, fresh: bool = False) -> Conversation:
    """A page of codes, in the system prompt or before the first question, of which one to four are asked for."""
    size = rng.choice((2, 4, 8, 8, 16))
    names = {wording.service(rng, fresh=fresh): rng.randint(100, 9999) for _ in range(size)}
    page = "\n".join(f"The code of {name} is {code}." for name, code in names.items())
    turns: list[Message] = []
    for wanted in rng.choices(list(names), k=1 if fresh else rng.randint(1, 4)):
        turns += [
            user(f"What is the code of {wanted}?"),
            assistant(f"The code of {wanted} is {names[wanted]}."),
        ]
    if rng.random() < 0.5:
        turns.insert(0, system(page))
    else:
        turns[0] = user(f"{page}\n{turns[0]['content']}")
    return Conversation(turns[-1]["content"], tuple(turns[:-1]))
