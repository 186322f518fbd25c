"""`paddock serve --help`, `--help=CacheConfig`, `--help=max-model-len`, `--help=all`: text for a terminal."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from textwrap import fill

from paddock.engine.config.argument import State
from paddock.engine.config.catalogue import Entry, by_flag, entries, group_entries, nearest
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.kinds import Kind, describe
from paddock.engine.config.naming import flag_of
from paddock.engine.config.problems import ArgumentError, Problem, shown
from paddock.engine.config.variables import STANDARD, VARIABLES
from paddock.engine.config.vocabulary import SGLANG

USAGE = "usage: paddock serve MODEL [--flag VALUE ...]"

_SYNTAX = """\
--flag VALUE or --flag=VALUE; underscores may stand for dashes
--flag / --no-flag for switches
--max-model-len 32k: k, m, g count in thousands, K, M, G in powers of 1024
--json-arg '{"key": 1}' or --json-arg.key 1; --json-arg.list+ a appends
--config FILE reads `long-name: value` lines of YAML; the command line wins over it"""

_PLACEHOLDERS = {
    "int": "N",
    "float": "X",
    "size": "SIZE",
    "str": "TEXT",
    "json": "JSON",
    "object": "JSON",
    "map": "JSON",
}


def help_text(topic: str | None = None, width: int | None = None) -> str:
    """Explain a topic: None for the overview, a group, a flag (with or without dashes), or `all`.

    Lines are wrapped to `width`, by default the terminal's. Raises ArgumentError for an unknown topic.
    """
    columns = width or min(max(shutil.get_terminal_size((100, 24)).columns, 40), 120)
    if not topic:
        return _overview(columns)
    if topic.lower() in _PAGES:
        return _PAGES[topic.lower()](columns)
    if topic.lower() == "all":
        return "\n\n".join([USAGE, *(_group(group, columns) for group in GROUPS)])
    group = _group_named(topic)
    return _group(group, columns) if group else _matching(topic, columns)


def _overview(width: int) -> str:
    lines = [
        USAGE,
        "",
        "Serve MODEL, a local directory or a hub name, with an OpenAI-compatible API.",
        "",
        "Groups:",
    ]
    for group, cls in GROUPS.items():
        works = sum(entry.argument.state is State.WORKS for entry in group_entries(group))
        text = f"{cls.__doc__} ({works} of {len(group_entries(group))} work)"
        lines.append(_hanging(f"  {cls.__name__:<25}", text, width, 27))
    lines += ["", "Syntax:", *(_hanging("  ", line, width, 4) for line in _SYNTAX.splitlines())]
    lines += ["", "Environment:", _hanging("  PADDOCK_API_KEY          ", "supplies --api-key", width, 27)]
    lines += ["", "More: --help=CacheConfig (a group), --help=max-model-len (an argument), --help=all,"]
    lines += ["      --help=environment, --help=sglang (the arguments of --backend sglang)"]
    return "\n".join(lines)


def _environment(width: int) -> str:
    """Every variable with its state; unlike arguments they are few enough for one page."""
    lines = ["Environment variables. The command line and the file win over them.", ""]
    for variable in VARIABLES:
        source = f"supplies {flag_of(variable.field[1])}" if variable.field else variable.effect
        default = (
            "unset" if variable.default is None else shown(variable.default, quoted=variable.default == "")
        )
        reason = f": {variable.reason}" if variable.reason else ""
        facts = f"{source.rstrip('.')}; {variable.form}, default: {default}; {variable.state.value}{reason}"
        lines += [f"  {variable.name}", _hanging("        ", facts, width, 8)]
    lines += ["", "Read by other software, with their usual effect:"]
    lines += [_hanging(f"  {name:<25}", effect, width, 27) for name, effect in STANDARD.items()]
    return "\n".join(lines)


def _sglang(width: int) -> str:
    from paddock.engine.config.sglang.catalogue import sglang_entries
    from paddock.engine.config.sglang.table import FATES

    lines = ["Arguments of --backend sglang, and what becomes of each."]
    for name, entry in sglang_entries().items():
        names = ", ".join([entry.flag, *entry.argument.aliases]) + _placeholder(entry.kind)
        fate = FATES[name]
        state = entry.argument.state.value
        becomes = f"becomes {fate.text}; {state}" if fate.targets else f"{state}: {fate.text}".rstrip(": ")
        lines += [
            "",
            _hanging("  ", names, width, 6),
            _hanging("        ", f"{entry.description} {becomes}", width, 8),
        ]
    return "\n".join(lines)


_PAGES: Mapping[str, Callable[[int], str]] = {"environment": _environment, SGLANG: _sglang}


def _group(group: str, width: int) -> str:
    title = f"{GROUPS[group].__name__}: {GROUPS[group].__doc__}"
    return "\n\n".join([fill(title, width), *(_entry(entry, width) for entry in group_entries(group))])


def _matching(topic: str, width: int) -> str:
    name = "--" + topic.lstrip("-").replace("_", "-").removeprefix("no-")
    exact = by_flag().get(name) or by_flag().get("-" + topic.lstrip("-"))
    found = [exact] if exact else [entry for entry in entries() if name[2:] in entry.flag]
    if not found:
        known = (
            [entry.flag[2:] for entry in entries()] + [*_PAGES] + [cls.__name__ for cls in GROUPS.values()]
        )
        message = f"unknown topic{nearest(topic.lstrip('-'), known)}"
        raise ArgumentError([Problem((), message, shown(topic), "--help")])
    return "\n\n".join(_entry(entry, width) for entry in found)


def _group_named(topic: str) -> str | None:
    plain = topic.lower().replace("-", "").replace("_", "")
    for group, cls in GROUPS.items():
        if plain in (cls.__name__.lower(), group.replace("_", "")) and f"--{topic}" not in by_flag():
            return group
    return None


def _entry(entry: Entry, width: int) -> str:
    names = [entry.flag, *([entry.negation] if entry.negation else []), *entry.argument.aliases]
    lines = [_hanging("  ", ", ".join(names) + _placeholder(entry.kind), width, 6)]
    facts = [describe(entry.kind, limits=False), f"default: {default_text(entry)}", state_text(entry)]
    for text in (entry.description, "; ".join(facts)):
        lines.append(_hanging("        ", text, width, 8))
    return "\n".join(lines)


def _placeholder(kind: Kind) -> str:
    if kind.base == "bool":
        return ""
    if kind.base == "list" and kind.item is not None:
        return f"{_placeholder(kind.item)} ..."
    if kind.base == "enum":
        return " {" + ",".join(map(str, kind.choices)) + "}"
    return " " + _PLACEHOLDERS[kind.base]


def default_text(entry: Entry) -> str:
    """The default in words."""
    if entry.default is None:
        return "unset"
    return shown(entry.default, quoted=entry.default == "")


def state_text(entry: Entry) -> str:
    """The support state in words, with what it is limited to or replaced by."""
    argument = entry.argument
    if argument.successor is not None:
        return f"deprecated: use {argument.successor.text}"
    if argument.reason:
        return f"{argument.state.value}: {argument.reason}"
    if argument.state is State.WORKS and argument.supported is not None:
        return "works, so far with " + ", ".join(map(shown, argument.supported))
    return argument.state.value


def state_counts(some: Iterable[Entry]) -> Counter[State]:
    """Count arguments by state."""
    return Counter(entry.argument.state for entry in some)


def _hanging(lead: str, text: str, width: int, indent: int) -> str:
    return fill(
        text,
        width,
        initial_indent=lead,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
