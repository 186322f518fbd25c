"""What the parsers of all subcommands share: the form of errors, and types that say what they allow."""

import argparse
import math
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

FAILED, USAGE_ERROR = 1, 2


class WrappedHelp(argparse.HelpFormatter):
    """Lines break between words only: a flag that is torn at a dash is not found, nor pasted."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


class DrawnHelp(WrappedHelp):
    """Description and examples stand as they are written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "".join(indent + line for line in text.splitlines(keepends=True))


class CommandParser(argparse.ArgumentParser):
    """Flags are written out, with dashes or underscores; an error is one line and status 2."""

    def __init__(self, command: str, description: str, **settings: Any) -> None:
        settings.setdefault("formatter_class", DrawnHelp)
        super().__init__(prog=f"paddock {command}", description=description, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}. {self.prog} --help lists the options.", file=sys.stderr)
        raise SystemExit(USAGE_ERROR)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([dashed(word) for word in words], namespace)


def dashed(word: str) -> str:
    """A long flag with dashes for underscores; a value after = keeps its own."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    name, dot, keys = name.partition(".")
    return name.replace("_", "-") + dot + keys + equals + value


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of a whole number within bounds."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number {bounds}")
        return value

    return read


def number(allowed: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """The type of a number; `allowed` says in words what `fits` accepts."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value) or not fits(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return read


def http_url(text: str) -> str:
    """The type of an http or https address, returned without a slash at its end."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as http://localhost:8000")
    return text.rstrip("/")


def key_value(text: str) -> tuple[str, str]:
    """The type of KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value
