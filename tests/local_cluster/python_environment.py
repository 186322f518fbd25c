"""The virtual environments that images are made of, and the Python installations below them."""

import hashlib
import json
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from local_cluster.commands import Word, run, succeeds
from local_cluster.directories import cache_root
from local_cluster.errors import ClusterError
from local_cluster.progress import Step

KEY_CHARACTERS = 12
LEFT_OUT = ("site-packages", "dist-packages", "test")
OURS = re.compile(r"paddock-\d")
ASK = "import json, sys, sysconfig; print(json.dumps([sys.base_prefix, sysconfig.get_path('stdlib'), sys.version]))"


@dataclass(frozen=True)
class PythonEnvironment:
    """A virtual environment, with what it needs of its base installation."""

    folder: Path
    base_prefix: Path
    standard_library: Path
    version: str

    @classmethod
    def of(cls, folder: Path) -> "PythonEnvironment":
        python = folder / "bin" / "python"
        if not python.exists():
            raise ClusterError(f"{folder} is no virtual environment; make it with: make install")
        if not folder.stat().st_mode & 0o005:
            raise ClusterError(
                f"{folder} is closed to other users, so no container could read it: chmod -R o+rX it"
            )
        prefix, library, version = json.loads(run([python, "-I", "-c", ASK]))
        return cls(folder, Path(prefix), Path(library), version)

    def installation_paths(self) -> tuple[Path, ...]:
        """What of the base installation an image needs beyond /usr/bin and the system's libraries.

        Its own site-packages stay out: the virtual environment does not see them, and they can be many.
        """
        library = self.standard_library.resolve()
        wanted = sorted(child for child in library.iterdir() if child.name not in LEFT_OUT)
        if self.base_prefix == Path("/usr"):
            return tuple(wanted)
        prefix = self.base_prefix.resolve()
        return (prefix / "bin", *sorted((prefix / "lib").glob("*.so*")), *wanted)

    def compile_bytecode(self) -> None:
        """Compile what is not compiled yet: a container could not keep bytecode, and would compile at each start.

        The bytecode of the same packages in another clone is taken over, as far as it is of the same sources.
        """
        stamp, key = self.folder / "compiled.key", self.content_key()
        if stamp.exists() and stamp.read_text() == key:
            return
        packages = next(self.folder.glob("lib/python*/site-packages"))
        kept = cache_root() / "bytecode" / self.folder.name / key[:KEY_CHARACTERS]
        with Step(f"Compiling {self.folder.name} to bytecode", "1 min, 10 s where another clone has done it"):
            if kept.is_dir():
                _link_bytecode(kept, packages)
            # Some packages carry files for other versions of Python, which do not compile: never imported, no matter.
            succeeds([self.folder / "bin" / "python", "-I", "-m", "compileall", "-qq", "-j", "0", packages])
            _link_bytecode(packages, kept)
        for older in kept.parent.iterdir():
            if older != kept:
                shutil.rmtree(older, ignore_errors=True)
        stamp.write_text(key)

    def content_key(self) -> str:
        """Hash of the installed distributions (name and version), of the folder's name and of the Python version.

        Paddock's own entry is left out: its code is a layer of its own.
        """
        names = sorted(path.name for path in self.folder.glob("lib/python*/site-packages/*.dist-info"))
        parts = [self.folder.name, self.version, *(name for name in names if not OURS.match(name))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _link_bytecode(source: Path, target: Path) -> None:
    """Give `target` the bytecode below `source`, at the same paths: links, or copies where the disks differ."""
    target.mkdir(parents=True, exist_ok=True)
    put = os.link if target.stat().st_dev == source.stat().st_dev else shutil.copy2
    for file in source.rglob("*.pyc"):
        twin = target / file.relative_to(source)
        if not (twin.exists() and twin.samefile(file)):
            twin.parent.mkdir(parents=True, exist_ok=True)
            twin.unlink(missing_ok=True)
            put(file, twin)


def operator_environment(repository: Path) -> PythonEnvironment:
    """`.venv-operator`: the operator's dependencies at the locked versions, without torch. Made when out of date."""
    folder = repository / ".venv-operator"
    lock, project = repository / "requirements.lock", repository / "pyproject.toml"
    key = _operator_key(lock, project)
    stamp = folder / "paddock.key"
    if not stamp.exists() or stamp.read_text() != key:
        uv, python = repository / ".venv" / "bin" / "uv", repository / ".venv" / "bin" / "python"
        if not uv.exists():
            raise ClusterError(f"{uv} was not found; make it with: make install")
        shutil.rmtree(folder, ignore_errors=True)
        with Step("Installing the operator's dependencies into .venv-operator", "20 s"):
            run([uv, "venv", "--quiet", "--python", python, folder])
            wanted: list[Word] = ["-r", project, "--extra", "operator", "-c", lock]
            run(
                [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *wanted],
                cwd=repository,
            )
            stamp.write_text(key)
    return PythonEnvironment.of(folder)


def _operator_key(lock: Path, project: Path) -> str:
    with project.open("rb") as file:
        declared = tomllib.load(file)["project"]
    wanted = [*declared["dependencies"], *declared["optional-dependencies"]["operator"]]
    return hashlib.sha256("\n".join(wanted).encode() + lock.read_bytes()).hexdigest()
