"""Whether a chat template reads message content as one text or as a list of typed parts, and whether it may be null."""

from collections.abc import Iterator
from typing import Literal

import jinja2
import jinja2.nodes

ContentFormat = Literal["auto", "openai", "string"]
"""`openai` is the list of parts, as in the API; `auto` asks the template."""


def wants_parts(tree: jinja2.nodes.Template, chosen: ContentFormat) -> bool:
    """True for a template that loops over content, be it under another name or as the argument of a macro."""
    if chosen != "auto":
        return chosen == "openai"
    names = _names_of_content(tree)
    return any(_is_content(loop.iter, names) for loop in tree.find_all(jinja2.nodes.For))


def knows_null(tree: jinja2.nodes.Template) -> bool:
    """True for a template that asks whether content is none: some tell a message with calls by that alone."""
    names = _names_of_content(tree)
    return any(
        test.name == "none" and _is_content(test.node, names) for test in tree.find_all(jinja2.nodes.Test)
    )


def _names_of_content(tree: jinja2.nodes.Template) -> set[str]:
    """Variables and macro parameters that hold a message's content somewhere in the template."""
    names: set[str] = set()
    while True:
        found = {name for name, value in _bindings(tree) if _is_content(value, names)}
        if found <= names:
            return names
        names |= found


def _bindings(tree: jinja2.nodes.Template) -> Iterator[tuple[str, jinja2.nodes.Node]]:
    for assigned in tree.find_all(jinja2.nodes.Assign):
        if isinstance(assigned.target, jinja2.nodes.Name):
            yield assigned.target.name, assigned.node
    macros = {macro.name: macro for macro in tree.find_all(jinja2.nodes.Macro)}
    for call in tree.find_all(jinja2.nodes.Call):
        macro = macros.get(call.node.name) if isinstance(call.node, jinja2.nodes.Name) else None
        if macro is not None:
            yield from (
                (parameter.name, value) for parameter, value in zip(macro.args, call.args, strict=False)
            )
            yield from ((argument.key, argument.value) for argument in call.kwargs)


def _is_content(node: jinja2.nodes.Node | None, names: set[str]) -> bool:
    while isinstance(node, jinja2.nodes.Filter):
        node = node.node
    if isinstance(node, jinja2.nodes.Name):
        return node.name in names
    if isinstance(node, jinja2.nodes.Getattr):
        return node.attr == "content"
    return (
        isinstance(node, jinja2.nodes.Getitem)
        and isinstance(node.arg, jinja2.nodes.Const)
        and node.arg.value == "content"
    )
