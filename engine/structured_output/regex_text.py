"""Regular expressions and grammars for the constraints that a library does not know by itself."""

import json
import re

_META = re.compile(r"[\\^$.|?*+()\[\]{}]")
_CONTROLS = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def choices_of(text: str) -> list[str]:
    """The texts of a choice constraint."""
    choices: list[str] = json.loads(text)
    return choices


def choice_regex(text: str) -> str:
    """Matches one of the choices, in the syntax that all libraries share."""
    return "|".join(f"(?:{_escaped(choice)})" for choice in choices_of(text))


def choice_ebnf(text: str) -> str:
    """The same as a grammar. JSON's escapes are those of its strings, too."""
    return "root ::= " + " | ".join(json.dumps(choice) for choice in choices_of(text))


def _escaped(text: str) -> str:
    plain = _META.sub(lambda match: "\\" + match[0], text)
    return "".join(_CONTROLS.get(character, character) for character in plain)
