"""Arguments that may come from environment variables, so that a secret need not stand in a command line."""

from collections.abc import Mapping

from paddock.engine.config.catalogue import by_path
from paddock.engine.config.layer import Field, Layer

ARGUMENT_VARIABLES: Mapping[str, Field] = {"PADDOCK_API_KEY": ("frontend", "api_key")}
"""One key, as it stands in a Secret; blanks and line ends around it are not part of it."""


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Read the variables that supply arguments; an empty one counts as unset."""
    layer = Layer()
    for variable, field in ARGUMENT_VARIABLES.items():
        if text := environ.get(variable, "").strip():
            layer.put(by_path()[field], [text], variable)
    return layer
