"""Sums, differences and products of small numbers, asked in words, in signs and as plain text."""

from __future__ import annotations

from random import Random

from conversation import Conversation, user

WORDS = {"+": "plus", "-": "minus", "*": "times"}
PHRASES = (
    "What is {a} {s} {b}?",
    "What is {a}{s}{b}?",
    "{a} {s} {b} = ?",
    "{a}{s}{b}",
    "Calculate {a} {s} {b}.",
    "How much is {a} {w} {b}?",
)


def result(a: int, sign: str, b: int) -> int:
    """The value of `a sign b`."""
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def equation(a: int, sign: str, b: int) -> str:
    """`a sign b = value`."""
    return f"{a} {sign} {b} = {result(a, sign, b)}"


def held_out(a: int, sign: str, b: int) -> bool:
    """One sum or difference in twelve, of numbers above ten, is never trained on: it measures the rule, not memory."""
    return sign != "*" and max(a, b) > 10 and (a * 7 + b * 3) % 12 == 0


def operands(rng: Random, *, fresh: bool = False) -> tuple[int, str, int]:
    """Numbers up to 10, in some sums and differences up to 20; never a negative result. `fresh`: held-out ones."""
    while True:
        sign = rng.choice("++--*")
        high = 20 if sign != "*" and (fresh or rng.random() < 0.3) else 10
        a, b = rng.randint(0, high), rng.randint(0, high)
        if result(a, sign, b) >= 0 and held_out(a, sign, b) == fresh:
            return a, sign, b


def question(rng: Random, a: int, sign: str, b: int) -> str:
    """The sum in one of several phrasings."""
    return rng.choice(PHRASES).format(a=a, b=b, s=sign, w=WORDS[sign])


def asked(rng: Random, *, fresh: bool = False) -> Conversation:
    """A chat question; the answer repeats the equation."""
    a, sign, b = operands(rng, fresh=fresh)
    return Conversation(f"{equation(a, sign, b)}.", (user(question(rng, a, sign, b)),))


def lines(rng: Random) -> Conversation:
    """A plain document of equations: the cheapest way to show many of them."""
    return Conversation("\n".join(equation(*operands(rng)) for _ in range(rng.randint(8, 20))))


def reasoned(rng: Random, *, fresh: bool = False) -> Conversation:
    """A sum that is worked out in the thoughts."""
    a, sign, b = operands(rng, fresh=fresh)
    thoughts = f"I work out {a} {WORDS[sign]} {b}. {equation(a, sign, b)}."
    return Conversation(f"{equation(a, sign, b)}.", (user(question(rng, a, sign, b)),), thoughts=thoughts)
