"""Classes that a user names by their dotted path, such as `my_package.scheduling.ShortestFirst`."""

import importlib
from typing import TypeVar

Base = TypeVar("Base")


class DottedPathError(ValueError):
    """The path leads to no fitting class. The text starts with the path and is meant to be printed."""


def load_class(path: str, base: type[Base]) -> type[Base]:
    """The class at `path`, written `package.module.Class` or `package.module:Class`; it derives from `base`.

    Importing runs the module's code, so a path must come from whoever runs the server, or match what they allow.
    Raises `DottedPathError` when the module cannot be imported, has no such class, or the class is abstract or of
    another kind.
    """
    module_name, _, name = path.rpartition(":" if ":" in path else ".")
    if not module_name or not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise DottedPathError(f"{path!r} is no dotted path: write package.module.Class")
    found = getattr(_module(path, module_name), name, None)
    if found is None:
        raise DottedPathError(f"{path!r}: the module {module_name} has no {name}")
    if not isinstance(found, type) or not issubclass(found, base):
        raise DottedPathError(f"{path!r} is no class that derives from {base.__module__}.{base.__qualname__}")
    missing: frozenset[str] = getattr(found, "__abstractmethods__", frozenset())
    if missing:
        raise DottedPathError(f"{path!r} leaves out {', '.join(sorted(missing))} of {base.__qualname__}")
    return found


def _module(path: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        # A module of the user's own may fail with anything, and the user is told.
        raise DottedPathError(
            f"{path!r}: the module {module_name} cannot be imported ({type(error).__name__}: {error}); it must be "
            "installed, or lie in a folder of PYTHONPATH"
        ) from error
