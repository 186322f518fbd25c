"""Environments of peers, apart from ours, under ~/.cache/paddock/peers."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path.home() / ".cache/paddock/peers"


@dataclass(frozen=True, slots=True)
class Environment:
    """Built by uv when it is asked for first, and again when `version` is another."""

    name: str
    version: str
    requirements: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    """What stands here goes before what a package asks for."""

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    def install(self) -> Path:
        """The interpreter."""
        built = self.folder / f"built-{self.version}"
        if not built.exists():
            uv = str(Path(sys.executable).with_name("uv"))
            subprocess.run([uv, "venv", "--clear", "-p", sys.executable, str(self.folder)], check=True)
            overrides = self.folder / "overrides.txt"
            overrides.write_text("\n".join(self.overrides) + "\n")
            command = [uv, "pip", "install", "-p", str(self.python), "--override", str(overrides)]
            subprocess.run([*command, *self.requirements], check=True)
            built.touch()
        return self.python
