"""The environment as a source of arguments, weaker than the file and the command line."""

import math
import re
from collections.abc import Mapping
from typing import Any

from paddock.engine.config.argument import State, same
from paddock.engine.config.catalogue import by_path, nearest
from paddock.engine.config.layer import Field, Layer
from paddock.engine.config.problems import Problem, shown
from paddock.engine.config.variables import PREFIX, VARIABLES, Form, Variable, by_name

ARGUMENT_VARIABLES: Mapping[str, Field] = {
    variable.name: variable.field for variable in VARIABLES if variable.field is not None
}
"""The variables that supply arguments, so that a secret need not stand in a command line."""

# The kubelet describes a Service called `paddock…` by variables that begin like ours. The numbers and words of
# most are unmistakable; NAME_PORT is told from a port of ours by its value, such as tcp://10.0.0.1:80.
_SERVICE_NAME = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+:[0-9]+")

_OPERATORS_OWN = re.compile(
    r"(OPERATOR_\w+|SERVER_IMAGE\w*|ALLOW_HOST_PATH|HOST_PATH_PREFIXES|LOG_LEVEL|CHECK_INTEGRITY|"
    r"UPDATE_GOLDEN)"
)
_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_ALLOWED: Mapping[Form, str] = {
    "bool": "1 or 0",
    "int": "a whole number",
    "float": "a number",
}


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Read the variables that concern a server; an empty one counts as unset.

    One that cannot work here, or not yet, is a problem unless it says what holds anyway. An unknown one is
    pointed out, since it may be a slip.
    """
    layer = Layer(source="environment")
    for name in sorted(environ):
        text = environ[name].strip()
        if not name.startswith(PREFIX) or not text or is_service_variable(name, text):
            continue
        variable = by_name().get(name)
        if variable is not None:
            _read(variable, text, layer)
        elif not _OPERATORS_OWN.fullmatch(name.removeprefix(PREFIX)):
            layer.warnings.append(f"{name} is no variable of paddock{nearest(name, by_name())}")
    return layer


def is_service_variable(name: str, text: str) -> bool:
    """Whether Kubernetes injected the variable because there is a Service of a similar name."""
    return bool(_SERVICE_NAME.search(name) or (name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(text)))


def announces(environ: Mapping[str, str]) -> bool:
    """Whether deprecated arguments are to be announced."""
    return not is_on(environ, "NO_DEPRECATION_WARNING")


def is_on(environ: Mapping[str, str], suffix: str) -> bool:
    """Whether the switch of ours with this suffix is on; one that is not set, or not readable, is off."""
    return _value(environ.get(PREFIX + suffix, "").strip(), "bool") is True


def in_development(environ: Mapping[str, str]) -> bool:
    """Whether the development routes are open."""
    return _value(environ.get(f"{PREFIX}SERVER_DEV_MODE", "").strip(), "bool") is True


def _read(variable: Variable, text: str, layer: Layer) -> None:
    visible = "" if variable.secret else shown(text)
    value = _value(text, variable.form)
    if value is None:
        problem = f"must be {_ALLOWED[variable.form]}"
        layer.problems.append(Problem((), problem, visible, variable.name))
    elif variable.field is not None:
        _supply(variable, value, layer)
    elif variable.state in (State.NOT_YET, State.REFUSED) and not same(value, variable.default):
        layer.problems.append(Problem((), _refusal(variable), visible, variable.name))


def _supply(variable: Variable, value: Any, layer: Layer) -> None:
    assert variable.field is not None
    entry = by_path()[variable.field]
    if same(value, variable.default) and entry.argument.state is not State.WORKS:
        return
    layer.put(entry, [value] if entry.kind.base == "list" else value, variable.name)
    layer.sources[variable.field] = f"environment {variable.name}"
    if variable.state is State.DEPRECATED:
        layer.warnings.append(f"{variable.name} is deprecated: use {entry.flag}")


def _refusal(variable: Variable) -> str:
    because = f": {variable.reason}" if variable.reason else ""
    what = "cannot work here" if variable.state is State.REFUSED else "not supported yet"
    return f"{what}{because}; leave it unset"


def _value(text: str, form: Form) -> Any:
    """Read the text as its form; None if it is not of that form."""
    try:
        match form:
            case "bool":
                return _SWITCH.get(text.lower())
            case "int":
                return int(text)
            case "float":
                number = float(text)
                return number if math.isfinite(number) else None
    except ValueError:
        return None
    return text
