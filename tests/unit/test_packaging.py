"""The layout holds: four links, no operator/__init__.py, and cheap imports stay cheap."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("package", ["operator", "server", "engine", "kernels"])
def test_a_link_leads_to_each_top_level_package(package: str) -> None:
    link = ROOT / "src/paddock" / package

    assert link.is_symlink()
    assert link.resolve() == ROOT / package


def test_the_operator_folder_never_shadows_the_standard_module() -> None:
    assert not list(ROOT.glob("**/operator/__init__.py"))


@pytest.mark.parametrize(
    "module",
    [
        "paddock.engine.config",
        "paddock.engine.messages",
        "paddock.operator.watch",
        "paddock.server.api_server",
        "paddock.server.cli.main",
    ],
)
def test_importing_the_light_parts_loads_neither_torch_nor_transformers_nor_what_traces_need(
    module: str,
) -> None:
    heavy = ("torch", "transformers", "opentelemetry.sdk", "grpc")
    script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
