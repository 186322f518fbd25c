"""The chart carries the generated CRD, upgrades it, and keeps it on uninstall."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

NAME = "inferenceservices.paddock.dev"
KEEP = {"helm.sh/resource-policy": "keep"}
Render = Callable[..., str]
BODY = "spec:\n  versions:\n  - schema: {maximum: 9007199254740991, pattern: '{{ not a template }}'}\n"


def crd_of(rendered: str) -> dict[str, Any] | None:
    """The CustomResourceDefinition among the rendered objects."""
    found = [each for each in rendered.split("\n---\n") if "\nkind: CustomResourceDefinition\n" in each]
    parsed: dict[str, Any] | None = yaml.safe_load(found[0]) if found else None
    return parsed


def write_crd(chart: Path, metadata: str) -> None:
    """Put a small CRD with this metadata block into a copy of the chart."""
    head = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
    folder = chart / "files"
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}.yaml").write_text(f"{head}metadata:\n{metadata}{BODY}", encoding="utf-8")


def test_the_charts_crd_is_the_generated_one(chart: Path) -> None:
    generated = chart.parents[1] / "crds" / f"{NAME}.yaml"
    carried = chart / "files" / f"{NAME}.yaml"

    assert carried.read_text(encoding="utf-8") == generated.read_text(encoding="utf-8"), "run `make generate`"


def test_the_crd_is_rendered_whole_and_kept_on_uninstall(render: Render, chart: Path) -> None:
    carried = yaml.safe_load((chart / "files" / f"{NAME}.yaml").read_text(encoding="utf-8"))
    rendered = crd_of(render())

    assert rendered is not None
    assert rendered["spec"] == carried["spec"]
    assert rendered["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize(
    ("metadata", "annotations"),
    [
        (f"  name: {NAME}\n", KEEP),
        (f"  annotations:\n    made-by: us\n  name: {NAME}\n", {"made-by": "us", **KEEP}),
        (f"  annotations:\n    helm.sh/resource-policy: keep\n  name: {NAME}\n", KEEP),
    ],
    ids=["no annotations", "other annotations", "already kept"],
)
def test_the_keep_policy_is_added_and_nothing_else_changes(
    render: Render, chart_copy: Path, metadata: str, annotations: dict[str, str]
) -> None:
    write_crd(chart_copy, metadata)

    rendered = crd_of(render(chart=chart_copy))

    assert rendered is not None
    assert rendered["metadata"] == {"name": NAME, "annotations": annotations}
    assert rendered["spec"] == yaml.safe_load(BODY)["spec"]


def test_uninstall_takes_the_crd_along_where_that_was_asked_for(render: Render) -> None:
    rendered = crd_of(render("--set", "crds.keep=false"))

    assert rendered is not None
    assert "annotations" not in rendered["metadata"]


def test_the_crd_can_be_left_to_others(render: Render) -> None:
    assert crd_of(render("--set", "crds.install=false")) is None


def test_a_chart_without_its_crd_says_how_to_make_it(helm: Callable[..., Any], chart_copy: Path) -> None:
    (chart_copy / "files" / f"{NAME}.yaml").unlink(missing_ok=True)

    refused = helm("template", "paddock", str(chart_copy))

    assert refused.returncode != 0
    assert "run `make generate`" in refused.stderr
