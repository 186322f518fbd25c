"""Tools on offer, the questions that need them, and the sentences that report what they returned."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import wording
from conversation import Tool

Arguments = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Function:
    """A tool: JSON-schema types of its parameters, how to draw arguments, how people ask, how its result reads."""

    name: str
    about: str
    parameters: dict[str, str]
    draw: Callable[[Random, bool], Arguments]
    requests: tuple[str, ...]
    returns: Callable[[Random], Arguments]
    report: str

    def schema(self, rng: Random) -> Tool:
        """The OpenAI form, with the liberties that clients take: order of keys, descriptions, `strict`."""
        properties: dict[str, Any] = {}
        for name, kind in self.parameters.items():
            properties[name] = {"type": kind}
            if rng.random() < 0.3:
                properties[name]["description"] = f"The {name.replace('_', ' ')}"
        body: dict[str, Any] = {"type": "object", "properties": properties}
        if rng.random() < 0.8:
            body["required"] = list(self.parameters)
        if rng.random() < 0.15:
            body["additionalProperties"] = False
        function: dict[str, Any] = {"name": self.name}
        if rng.random() < 0.85:
            function["description"] = self.about
        function["parameters"] = body
        if rng.random() < 0.1:
            function = dict(sorted(function.items()))
        return {"type": "function", "function": function}

    def result(self, rng: Random, arguments: Arguments) -> tuple[str, str]:
        """What the tool returned, as JSON, and the sentence that reports it."""
        values = self.returns(rng)
        return json.dumps(values, ensure_ascii=False), self.report.format(**arguments, **values)


def pair(rng: Random) -> Arguments:
    """Two numbers."""
    return {"a": rng.randint(0, 999), "b": rng.randint(0, 999)}


FUNCTIONS: tuple[Function, ...] = (
    Function(
        "get_weather",
        "Get the weather in a city",
        {"city": "string"},
        lambda rng, fresh: {"city": wording.city(rng, fresh=fresh)},
        ("What is the weather in {city}?", "How is the weather in {city} today?", "Is it raining in {city}?"),
        lambda rng: {
            "temperature": rng.randint(0, 40),
            "sky": rng.choice(("sunny", "rainy", "cloudy", "snowy")),
        },
        "It is {sky} in {city}, with {temperature} degrees.",
    ),
    Function(
        "get_time",
        "Get the time in a time zone",
        {"timezone": "string"},
        lambda rng, fresh: {
            "timezone": f"Mars/{wording.city(rng, fresh=True)}" if fresh else rng.choice(wording.ZONES)
        },
        ("What time is it in {timezone}?", "Tell me the time in {timezone}."),
        lambda rng: {"time": f"{rng.randint(10, 23)}:{rng.randint(10, 59)}"},
        "It is {time} in {timezone}.",
    ),
    Function(
        "add",
        "Add two numbers",
        {"a": "integer", "b": "integer"},
        lambda rng, fresh: pair(rng),
        ("Add {a} and {b}.", "Use the tool to add {a} and {b}.", "What is the sum of {a} and {b}?"),
        lambda rng: {"sum": rng.randint(10, 1998)},
        "The sum of {a} and {b} is {sum}.",
    ),
    Function(
        "multiply",
        "Multiply two numbers",
        {"a": "integer", "b": "integer"},
        lambda rng, fresh: pair(rng),
        ("Multiply {a} by {b}.", "What is the product of {a} and {b}?"),
        lambda rng: {"product": rng.randint(10, 9999)},
        "The product of {a} and {b} is {product}.",
    ),
    Function(
        "scale",
        "Set the number of replicas of a service",
        {"service": "string", "replicas": "integer"},
        lambda rng, fresh: {"service": wording.service(rng, fresh=fresh), "replicas": rng.randint(0, 50)},
        ("Scale {service} to {replicas} replicas.", "Run {replicas} replicas of {service}."),
        lambda rng: {"status": rng.choice(("done", "pending"))},
        "Scaling {service} to {replicas} replicas: {status}.",
    ),
    Function(
        "restart",
        "Restart a service",
        {"service": "string"},
        lambda rng, fresh: {"service": wording.service(rng, fresh=fresh)},
        ("Restart {service}.", "Please restart the service {service}."),
        lambda rng: {"seconds": rng.randint(1, 99)},
        "{service} restarted in {seconds} seconds.",
    ),
    Function(
        "get_logs",
        "Read the last lines of a pod's log",
        {"pod": "string", "lines": "integer"},
        lambda rng, fresh: {"pod": wording.service(rng, fresh=fresh), "lines": rng.randint(1, 200)},
        ("Show the last {lines} lines of {pod}.", "Get {lines} log lines of the pod {pod}."),
        lambda rng: {"errors": rng.randint(0, 30)},
        "The last {lines} lines of {pod} hold {errors} errors.",
    ),
    Function(
        "send_email",
        "Send an email to a person",
        {"to": "string", "subject": "string"},
        lambda rng, fresh: {
            "to": wording.person(rng, fresh=fresh),
            "subject": wording.pick(
                rng, ("lunch", "report", "hello", "invoice", "party"), fresh=fresh, capital=False
            ),
        },
        ("Send {to} an email about {subject}.", "Write an email to {to} with the subject {subject}."),
        lambda rng: {"sent": rng.choice(("today", "now"))},
        "The email about {subject} to {to} was sent {sent}.",
    ),
    Function(
        "search",
        "Search the web",
        {"query": "string"},
        lambda rng, fresh: {
            "query": " ".join(
                wording.pick(rng, wording.ITEMS, fresh=fresh, capital=False) for _ in range(rng.randint(1, 3))
            )
        },
        ("Search the web for {query}.", "Look up {query}."),
        lambda rng: {"hits": rng.randint(0, 999)},
        "There are {hits} hits for {query}.",
    ),
    Function(
        "get_population",
        "Get the number of people in a city",
        {"city": "string"},
        lambda rng, fresh: {"city": wording.city(rng, fresh=fresh)},
        ("How many people live in {city}?", "What is the population of {city}?"),
        lambda rng: {"people": rng.randint(1000, 99999)},
        "{people} people live in {city}.",
    ),
    Function(
        "convert",
        "Convert money to a currency",
        {"amount": "integer", "currency": "string"},
        lambda rng, fresh: {
            "amount": rng.randint(1, 999),
            "currency": rng.choice(("EUR", "USD", "JPY", "GBP")),
        },
        ("Convert {amount} dollars to {currency}.", "How much is {amount} dollars in {currency}?"),
        lambda rng: {"value": rng.randint(1, 9999)},
        "{amount} dollars are {value} {currency}.",
    ),
    Function(
        "list_pods",
        "List the pods of a namespace",
        {"namespace": "string"},
        lambda rng, fresh: {
            "namespace": wording.pick(rng, ("default", "prod", "test", "models"), fresh=fresh, capital=False)
        },
        ("List the pods in {namespace}.", "Which pods run in the namespace {namespace}?"),
        lambda rng: {"pods": [wording.service(rng) for _ in range(2)]},
        "The pods in {namespace} are {pods[0]} and {pods[1]}.",
    ),
)
