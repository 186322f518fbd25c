"""Values are checked before anything is sent to a cluster; the schema is closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Helm = Callable[..., Any]

REFUSED = {
    "unknown key": ("operater.replicas=2", "operater"),
    "unknown nested key": ("server.args=x", "/server"),
    "log level": ("operator.logLevel=loud", "/operator/logLevel"),
    "negative replicas": ("operator.replicas=-1", "/operator/replicas"),
    "replicas as text": ("operator.replicas=many", "/operator/replicas"),
    "pull policy": ("server.imagePullPolicy=Sometimes", "/server/imagePullPolicy"),
    "upper-case image": ("server.image=Paddock", "/server/image"),
    "image tag with a space": ("operator.image=paddock:one two", "/operator/image"),
    "quantity": ("operator.resources.limits.memory=lots", "/operator/resources/limits/memory"),
    "host path without a prefix": ("modelSources.hostPath.enabled=true", "allowedPrefixes"),
    "relative prefix": (
        "modelSources.hostPath.enabled=true,modelSources.hostPath.allowedPrefixes={models}",
        "/modelSources/hostPath/allowedPrefixes/0",
    ),
    "prefix that climbs": (
        "modelSources.hostPath.enabled=true,modelSources.hostPath.allowedPrefixes={/models/../etc}",
        "/modelSources/hostPath/allowedPrefixes/0",
    ),
    "the root as prefix": (
        "modelSources.hostPath.enabled=true,modelSources.hostPath.allowedPrefixes={/}",
        "/modelSources/hostPath/allowedPrefixes/0",
    ),
    "misspelt value of the CRD": ("crds.kept=false", "/crds"),
    "registry with a scheme": ("imageRegistry=https://mirror.example", "/imageRegistry"),
    "pull secret without its key": ("server.imagePullSecrets={mirror}", "/server/imagePullSecrets/0"),
    "service account name": ("serviceAccount.name=Not_A_Name", "/serviceAccount/name"),
    "toleration effect": ("operator.tolerations[0].effect=Sometimes", "/operator/tolerations/0/effect"),
}


@pytest.mark.parametrize(("setting", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_value_is_refused_and_named(helm: Helm, chart: Path, setting: str, named: str) -> None:
    refused = helm("template", "paddock", str(chart), "--set", f"crds.install=false,{setting}")

    assert refused.returncode != 0
    assert named in refused.stderr.replace("'", "").replace(".", "/")


def test_the_chart_passes_helm_lint(helm: Helm, chart: Path) -> None:
    linted = helm("lint", "--strict", str(chart), "--set", "crds.install=false")

    assert linted.returncode == 0, linted.stdout + linted.stderr


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all values, going into mappings."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


def open_objects(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Where the schema names properties and yet lets others pass."""
    if "properties" in schema and "type" in schema and schema.get("additionalProperties") is not False:
        yield path or "/"
    for name, child in schema.get("properties", {}).items():
        yield from open_objects(child, f"{path}/{name}")


def test_every_object_of_the_schema_is_closed(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))

    assert list(open_objects(schema)) == []


def test_the_readme_describes_every_value(chart: Path) -> None:
    readme = (chart / "README.md").read_text(encoding="utf-8")
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    described = [line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")]

    paths = {".".join(path) for path in leaves(values)}

    missing = {
        path for path in paths if not any(path == row or row.startswith(f"{path}.") for row in described)
    }
    # A row may describe a mapping as a whole; then its keys need no rows of their own.
    missing = {path for path in missing if not any(path.startswith(f"{row}.") for row in described)}
    assert missing == set()
    assert {row for row in described if row not in paths} == set()
