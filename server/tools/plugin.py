"""--tool-parser-plugin: a Python file of the user's that registers further parsers."""

import importlib.util
import sys
from pathlib import Path

from paddock.server.tools.registry import ToolParserError

MODULE_NAME = "paddock_tool_parser_plugin"


def load_plugin(path: str) -> None:
    """Run the file as a module. Raises ToolParserError with its path and its fault."""
    file = Path(path)
    if not file.is_file():
        raise ToolParserError(
            f"--tool-parser-plugin {path}: there is no such file. Give the path of a Python file."
        )
    spec = importlib.util.spec_from_file_location(MODULE_NAME, file)
    if spec is None or spec.loader is None:
        raise ToolParserError(
            f"--tool-parser-plugin {path} must be a Python file, with a name that ends in .py."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a module may raise anything while it is run
        raise ToolParserError(
            f"--tool-parser-plugin {path} cannot be imported: {type(error).__name__}: {error}."
        ) from error
