"""Evaluates the CEL rules of our own CustomResourceDefinition: the part of the language that they use.

A parsed rule is a function from variables to a value. Grammar and operator precedence: the CEL specification,
"Syntax".
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from paddock.engine.config.manifest.cel_library import FUNCTIONS, METHODS, OPERATORS, CelError

Variables = Mapping[str, Any]
Expression = Callable[[Variables], Any]


_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.\d+|\d+)|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}]))""",
    re.VERBOSE,
)
_LEVELS = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%"))
_CONSTANTS = {"true": True, "false": False, "null": None}


@cache
def parse(rule: str) -> Expression:
    """Read a rule; CelError if it uses a part of CEL that is not known here."""
    parser = _Parser(_tokens(rule))
    expression = parser.ternary()
    if parser.tokens:
        raise CelError(f"unexpected {parser.tokens[0]} in {rule}")
    return expression


def _tokens(rule: str) -> list[str]:
    tokens, position = [], 0
    rule = rule.rstrip()
    while position < len(rule):
        match = _TOKEN.match(rule, position)
        if match is None:
            raise CelError(f"cannot read {rule[position:]!r}")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def ternary(self) -> Expression:
        condition = self.binary(0)
        if not self._take("?"):
            return condition
        then = self.ternary()
        self._expect(":")
        otherwise = self.ternary()
        return lambda names: then(names) if condition(names) else otherwise(names)

    def binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.tokens and self.tokens[0] in _LEVELS[level]:
            left = _binary(self.tokens.pop(0), left, self.binary(level + 1))
        return left

    def unary(self) -> Expression:
        if self._take("!"):
            inner = self.unary()
            return lambda names: not inner(names)
        if self._take("-"):
            inner = self.unary()
            return lambda names: -inner(names)
        return self.member(self.primary())

    def member(self, value: Expression) -> Expression:
        while self.tokens and self.tokens[0] in (".", "["):
            if self.tokens.pop(0) == "[":
                index = self.ternary()
                self._expect("]")
                value = _index(value, index)
            else:
                name = self.tokens.pop(0)
                value = self._call(value, name) if self._take("(") else _select(value, name)
        return value

    def _call(self, target: Expression, name: str) -> Expression:
        if name in _MACROS:
            variable = self.tokens.pop(0)
            self._expect(",")
            body = self.ternary()
            self._expect(")")
            return _macro(name, target, variable, body)
        arguments = self._list(")")
        return _function(METHODS, name, [target, *arguments])

    def primary(self) -> Expression:
        if not self.tokens:
            raise CelError("the rule ends too early")
        token = self.tokens.pop(0)
        if token == "(":
            inner = self.ternary()
            self._expect(")")
            return inner
        if token == "[":
            elements = self._list("]")
            return lambda names: [element(names) for element in elements]
        if token == "{":
            return self._map()
        if token[0].isdigit():
            number = float(token) if "." in token else int(token)
            return lambda _: number
        if token[0] in "\"'":
            text = _unquoted(token)
            return lambda _: text
        return self._name(token)

    def _name(self, name: str) -> Expression:
        if name in _CONSTANTS:
            constant = _CONSTANTS[name]
            return lambda _: constant
        if not name.isidentifier():
            raise CelError(f"unexpected {name}")
        if not self._take("("):
            return lambda names: names[name]
        [*arguments] = self._list(")")
        return _has(arguments[0]) if name == "has" else _function(FUNCTIONS, name, arguments)

    def _map(self) -> Expression:
        pairs: list[tuple[Expression, Expression]] = []
        while not self._take("}"):
            key = self.ternary()
            self._expect(":")
            pairs.append((key, self.ternary()))
            self._take(",")
        return lambda names: {key(names): value(names) for key, value in pairs}

    def _list(self, end: str) -> list[Expression]:
        elements: list[Expression] = []
        while not self._take(end):
            elements.append(self.ternary())
            self._take(",")
        return elements

    def _take(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise CelError(f"expected {token} before {self.tokens[:3]}")


def _binary(sign: str, left: Expression, right: Expression) -> Expression:
    if sign == "||":
        return lambda names: left(names) or right(names)
    if sign == "&&":
        return lambda names: left(names) and right(names)
    compute = OPERATORS[sign]

    def run(names: Variables) -> Any:
        try:
            return compute(left(names), right(names))
        except (TypeError, ZeroDivisionError) as error:
            raise CelError(f"{sign}: {error}") from None

    return run


def _select(value: Expression, name: str) -> Expression:
    def select(names: Variables) -> Any:
        found = value(names)
        if not isinstance(found, Mapping) or name not in found:
            raise CelError(f"no such key: {name}")
        return found[name]

    return select


def _has(field: Expression) -> Expression:
    def has(names: Variables) -> bool:
        try:
            field(names)
        except CelError:
            return False
        return True

    return has


def _index(value: Expression, index: Expression) -> Expression:
    def lookup(names: Variables) -> Any:
        try:
            return value(names)[index(names)]
        except (KeyError, IndexError, TypeError) as error:
            raise CelError(f"no such key: {error}") from None

    return lookup


_MACROS = ("all", "exists", "filter")


def _macro(name: str, target: Expression, variable: str, body: Expression) -> Expression:
    def run(names: Variables) -> Any:
        elements = target(names)
        if name == "filter":
            return [each for each in elements if body({**names, variable: each})]
        test = all if name == "all" else any
        return test(body({**names, variable: each}) for each in elements)

    return run


def _function(known: Mapping[str, Callable[..., Any]], name: str, arguments: list[Expression]) -> Expression:
    if name not in known:
        raise CelError(f"{name}() is not known here")
    call = known[name]

    def run(names: Variables) -> Any:
        try:
            return call(*(argument(names) for argument in arguments))
        except (TypeError, ValueError) as error:
            raise CelError(f"{name}(): {error}") from None

    return run


def _unquoted(token: str) -> str:
    escapes = {"n": "\n", "t": "\t"}
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), token[1:-1])
