"""Human-readable sizes, all above zero: 1k is 1000, 1K is 1024, 25.6k is 25600."""

import re
from decimal import Decimal

UNITS = {"": 1} | {unit: 1000**power for power, unit in enumerate("kmgt", 1)}
UNITS |= {unit: 1024**power for power, unit in enumerate("KMGT", 1)}

# A fraction goes with the decimal units only: 1.5K is as likely a slip as it is 1536. Its digits come to a
# whole number: at most 3 with k, 6 with m and so on.
_FRACTIONS = "|".join(f"[0-9]{{1,{3 * power}}}{unit}" for power, unit in enumerate("kmgt", 1))
SIZE_PATTERN = rf"^([1-9][0-9]{{0,15}}[kmgtKMGT]?|[0-9]{{1,12}}\.({_FRACTIONS}))$"

_SIZE = re.compile(r"(?P<number>[0-9.]+)(?P<unit>[kmgtKMGT]?)")


def parse_size(text: str) -> int:
    """Read a size; ValueError if it is none or does not come to a whole number above zero."""
    match = _SIZE.fullmatch(text)
    if match is None or re.match(SIZE_PATTERN, text) is None:
        raise ValueError(f"{text!r} is not a size")
    exact = Decimal(match["number"]) * UNITS[match["unit"]]
    if exact != int(exact) or exact == 0:
        raise ValueError(f"{text!r} is not a whole number above zero")
    return int(exact)


def size_or_input(value: object) -> object:
    """Turn a size in words into its number; anything else is left for the integer check to judge."""
    if not isinstance(value, str):
        return value
    try:
        return parse_size(value)
    except ValueError:
        return value
