"""JSON on request: the values stand in the question, the keys and types are those of a few schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import facts
import wording
from conversation import Conversation, user

Record = dict[str, Any]


def person(rng: Random, fresh: bool) -> tuple[str, Record]:
    """Name, age, city."""
    record = {
        "name": wording.person(rng, fresh=fresh),
        "age": rng.randint(1, 99),
        "city": wording.city(rng, fresh=fresh),
    }
    return f"{record['name']}, {record['age']} years old, from {record['city']}", record


def product(rng: Random, fresh: bool) -> tuple[str, Record]:
    """Name, price with two decimals, stock flag."""
    name, stock = wording.pick(rng, wording.ITEMS, fresh=fresh, capital=False), rng.random() < 0.5
    price = f"{rng.randint(1, 99)}.{rng.randint(1, 9)}{rng.randint(1, 9)}"
    record = {"product": name, "price": float(price), "in_stock": stock}
    return f"a {name} for {price}, {'in stock' if stock else 'sold out'}", record


def workload(rng: Random, fresh: bool) -> tuple[str, Record]:
    """Deployment name, namespace, replicas."""
    record = {
        "name": wording.service(rng, fresh=fresh),
        "namespace": wording.pick(rng, ("default", "prod", "test", "models"), fresh=fresh, capital=False),
        "replicas": rng.randint(1, 20),
    }
    return (
        f"deployment {record['name']} in namespace {record['namespace']} with {record['replicas']} replicas",
        record,
    )


def capital(rng: Random, fresh: bool) -> tuple[str, Record]:
    """Country and capital: the second value is knowledge."""
    country = rng.choice(list(facts.CAPITALS))
    return f"{country} and its capital", {"country": country, "capital": facts.CAPITALS[country]}


def basket(rng: Random, fresh: bool) -> tuple[str, Record]:
    """A list of words."""
    words = [wording.pick(rng, wording.ITEMS, fresh=fresh, capital=False) for _ in range(rng.randint(1, 5))]
    return f"a list of {', '.join(words)}", {"items": words}


KINDS: tuple[Callable[[Random, bool], tuple[str, Record]], ...] = (person, product, workload, capital, basket)
PHRASES = ("Write {} as JSON.", "Give me {} as JSON.", "JSON for {}.", "Answer in JSON: {}.")


def asked(rng: Random, *, fresh: bool = False) -> Conversation:
    """A description, answered with one line of JSON."""
    described, record = rng.choice(KINDS)(rng, fresh)
    question = rng.choice(PHRASES).format(described)
    return Conversation(json.dumps(record, ensure_ascii=False), (user(question),))
