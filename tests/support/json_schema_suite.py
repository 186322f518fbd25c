"""The public JSON-Schema test suite, draft 2020-12, as the source package of jsonschema carries it."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REQUIREMENT = (
    "jsonschema==4.26.0 --hash=sha256:0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326"
)
TESTS = "/json/tests/draft2020-12/"
FORMATS = "/optional/format/"
"""Draft 2020-12 asserts no format."""


def download(folder: Path) -> Path:
    """Fetch the package with pip, which checks its hash. Takes about a minute, since pip asks it for its metadata."""
    (folder / "requirements.txt").write_text(REQUIREMENT)
    words = ["download", "-q", "--no-deps", "--no-binary", "jsonschema", "-r", "requirements.txt"]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=folder, check=True)
    [archive] = folder.glob("*.tar.gz")
    return archive


def groups(archive: Path) -> Iterator[dict[str, Any]]:
    """Each has a `schema`, and `tests` with `data` and whether it is `valid`."""
    with tarfile.open(archive) as members:
        for member in members:
            if TESTS in member.name and FORMATS not in member.name and member.name.endswith(".json"):
                stream = members.extractfile(member)
                assert stream is not None
                yield from json.load(stream)
