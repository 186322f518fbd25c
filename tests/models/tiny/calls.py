"""Conversations with tools: one call, two calls, no call, and the report of what came back."""

from __future__ import annotations

import json
from random import Random

import facts
import tools
from conversation import Conversation, Message, Tool, assistant, call_block, user


def offer(rng: Random, wanted: list[tools.Function]) -> tuple[Tool, ...]:
    """The schemas of the wanted functions among others, in random order."""
    others = [function for function in tools.FUNCTIONS if function not in wanted]
    offered = wanted + rng.sample(others, rng.choice((0, 1, 2, 2, 3)))
    rng.shuffle(offered)
    return tuple(function.schema(rng) for function in offered)


def thought(functions: list[tools.Function]) -> str:
    """What the model thinks before it calls."""
    return f"I call {' and '.join(function.name for function in functions)}."


def one(rng: Random, *, fresh: bool = False, thinking: bool = False) -> Conversation:
    """A request that one of the offered tools serves."""
    function = rng.choice(tools.FUNCTIONS)
    arguments = function.draw(rng, fresh)
    request = rng.choice(function.requests).format(**arguments)
    thoughts = thought([function]) if thinking else None
    answer = call_block(function.name, arguments)
    return Conversation(answer, (user(request),), offer(rng, [function]), thoughts)


def reasoned(rng: Random) -> Conversation:
    """A thought that names the tool, then its call."""
    return one(rng, thinking=True)


def two(rng: Random, *, fresh: bool = False) -> Conversation:
    """Two requests in one message: two calls, in the order asked, of two tools or of one."""
    functions = rng.choices(tools.FUNCTIONS, k=2) if rng.random() < 0.4 else rng.sample(tools.FUNCTIONS, 2)
    if rng.random() < 0.4:
        functions = [functions[0], functions[0]]
    drawn = [function.draw(rng, fresh) for function in functions]
    asked = [
        rng.choice(function.requests).format(**draw) for function, draw in zip(functions, drawn, strict=True)
    ]
    answer = "\n".join(
        call_block(function.name, draw) for function, draw in zip(functions, drawn, strict=True)
    )
    unique = list(dict.fromkeys(functions))
    return Conversation(answer, (user(" ".join(asked)),), offer(rng, unique))


def none(rng: Random) -> Conversation:
    """Tools are on offer, but the question needs none of them."""
    asked = rng.choice((facts.capital, facts.world, facts.kubernetes))(rng)
    return Conversation(asked.answer, asked.messages, offer(rng, []) or (tools.FUNCTIONS[0].schema(rng),))


def reported(rng: Random, *, fresh: bool = False) -> Conversation:
    """The tools have answered: say so in a sentence each."""
    count = rng.choice((1, 1, 2))
    functions = rng.sample(tools.FUNCTIONS, count)
    drawn = [function.draw(rng, fresh) for function in functions]
    asked = " ".join(
        rng.choice(function.requests).format(**draw) for function, draw in zip(functions, drawn, strict=True)
    )
    results = [function.result(rng, draw) for function, draw in zip(functions, drawn, strict=True)]
    calls = [
        {"type": "function", "function": {"name": function.name, "arguments": json.loads(json.dumps(draw))}}
        for function, draw in zip(functions, drawn, strict=True)
    ]
    messages: list[Message] = [user(asked), {"role": "assistant", "content": "", "tool_calls": calls}]
    messages += [{"role": "tool", "content": returned} for returned, _ in results]
    return Conversation(" ".join(sentence for _, sentence in results), tuple(messages), offer(rng, functions))


def exchange(rng: Random, offered: list[tools.Function], thinking: bool) -> list[Message]:
    """One round with the offered tools: request, calls, results, report; or a question that needs no tool."""
    if rng.random() < 0.15:
        asked = rng.choice((facts.capital, facts.world, facts.kubernetes))(rng)
        return [*asked.messages, assistant(asked.answer)]
    functions = rng.choices(offered, k=rng.choice((1, 1, 2)))
    drawn = [function.draw(rng, False) for function in functions]
    request = " ".join(
        rng.choice(f.requests).format(**draw) for f, draw in zip(functions, drawn, strict=True)
    )
    results = [function.result(rng, draw) for function, draw in zip(functions, drawn, strict=True)]
    turn = assistant("\n".join(call_block(f.name, draw) for f, draw in zip(functions, drawn, strict=True)))
    if thinking:
        turn["reasoning_content"] = thought(functions)
    returned = [{"role": "tool", "content": content} for content, _ in results]
    return [user(request), turn, *returned, assistant(" ".join(sentence for _, sentence in results))]


def session(rng: Random) -> Conversation:
    """Several rounds with the same tools: the offer is read once and used often."""
    thinking = rng.random() < 0.15
    offered = rng.sample(tools.FUNCTIONS, rng.randint(1, 5))
    messages: list[Message] = []
    for _ in range(rng.randint(1, 5)):
        messages += exchange(rng, offered, thinking)
    last = messages.pop()
    schemas = tuple(function.schema(rng) for function in offered)
    return Conversation(last["content"], tuple(messages), schemas)
