"""SGLang values of the command line and the file, as a layer of our own."""

from dataclasses import replace

from paddock.engine.config.catalogue import by_path
from paddock.engine.config.layer import Layer
from paddock.engine.config.sglang.catalogue import GROUP
from paddock.engine.config.sglang.table import DIALECT_DEFAULTS
from paddock.engine.config.sglang.translation import translate


def translated(given: Layer) -> Layer:
    """Replace the SGLang values of a layer by ours; messages go on naming the flags that were given."""
    theirs = given.values.pop(GROUP, {})
    given.values.get("worker", {}).pop("backend", None)
    done = translate(theirs, given.values)
    given.values = done.values
    for problem in done.problems:
        group, name = str(problem.path[0]), str(problem.path[1])
        origin = problem.origin or given.origins.get((group, name), "")
        given.problems.append(replace(problem, origin=origin))
    for target, entry in done.origins.items():
        origin = given.origins.get((GROUP, entry.name), entry.flag)
        ours = by_path()[target].flag
        given.origins[target] = origin if ours == entry.flag else f"{ours} (from {origin})"
        given.sources[target] = f"{given.sources[GROUP, entry.name]}, {entry.flag}"
    return given


def dialect_defaults() -> Layer:
    """The weakest layer: what SGLang's clients rely on without anybody having typed it."""
    layer = Layer(source="default of the sglang dialect")
    for name, value in DIALECT_DEFAULTS.items():
        layer.put(by_path()["frontend", name], value, f"--{name} (default of --backend sglang)")
    return layer
