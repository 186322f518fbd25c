"""The manifests in the documentation are ones that the API server takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddock.engine.config.manifest.check import API_VERSION, check, identity_faults

DOCS = Path(__file__).parents[3] / "docs"


def manifests(page: str) -> list[dict[str, Any]]:
    """Every whole InferenceService of ours on the page."""
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return [each for each in map(yaml.safe_load, blocks) if each.get("apiVersion") == API_VERSION]


def spec_parts(page: str) -> list[dict[str, Any]]:
    """Every piece of a spec on the page."""
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    found = [each.get("spec", each) for each in map(yaml.safe_load, blocks) if "apiVersion" not in each]
    return [{"model": {"uri": "pvc://models/a"}, **each} for each in found]


def test_the_migrated_manifest_is_accepted() -> None:
    [migrated] = manifests("migrating.md")

    assert identity_faults(migrated) == []
    assert check(migrated) == []


@pytest.mark.parametrize("spec", spec_parts("operator.md"))
def test_the_pieces_of_the_operators_page_are_accepted(spec: dict[str, Any]) -> None:
    assert (
        check(
            {"apiVersion": API_VERSION, "kind": "InferenceService", "metadata": {"name": "a"}, "spec": spec}
        )
        == []
    )
