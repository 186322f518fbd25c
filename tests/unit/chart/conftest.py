"""Finds helm, and runs it on the chart without a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHART = Path(__file__).parents[3] / "charts" / "paddock"
Helm = Callable[..., subprocess.CompletedProcess[str]]


def find_helm() -> Path:
    """helm from PATH, else the newest one that `make install-cluster` built."""
    on_path = shutil.which("helm")
    if on_path:
        return Path(on_path)
    cache = Path(os.environ.get("PADDOCK_CACHE", Path.home() / ".cache" / "paddock"))
    built = sorted(cache.glob("programs/helm-*/helm"), key=lambda path: path.stat().st_mtime)
    if not built:
        pytest.fail(
            f"helm is neither on PATH nor under {cache}/programs: run `make install-cluster`", pytrace=False
        )
    return built[-1]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """`helm("template", ...)`: runs the program with a home of its own; the caller looks at the return code."""
    program, home = find_helm(), tmp_path_factory.mktemp("helm-home")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home / "none")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def chart() -> Path:
    """The chart's folder."""
    return CHART


@pytest.fixture
def chart_copy(tmp_path: Path) -> Path:
    """A copy of the chart that a test may change."""
    return Path(shutil.copytree(CHART, tmp_path / "paddock"))


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., str]:
    """The manifests of the chart as release `paddock` in namespace `paddock-system`; fails the test when helm does."""

    def manifests(*arguments: str, chart: Path = CHART) -> str:
        done = helm("template", "paddock", str(chart), "--namespace", "paddock-system", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return manifests
