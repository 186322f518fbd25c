"""The checked-in CustomResourceDefinition is the one that the models describe."""

import json
import re
from typing import Any

import pytest
import yaml

from paddock.engine.config.manifest.check import check
from paddock.operator.crd import HEADER, TARGETS, definition, main, render


@pytest.fixture(scope="module")
def version() -> dict[str, Any]:
    [only] = definition()["spec"]["versions"]
    return dict(only)


@pytest.mark.parametrize("path", TARGETS, ids=lambda path: str(path.parent.name))
def test_the_checked_in_file_is_current(path: Any) -> None:
    assert path.read_text() == render(), "run: python -m paddock.operator.crd"


def test_check_tells_stale_files_from_current_ones(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("paddock.operator.crd.ROOT", tmp_path)
    monkeypatch.setattr("paddock.operator.crd.TARGETS", (tmp_path / "crds" / "x.yaml",))

    assert main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0


def spec_of(version: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec


def test_the_file_is_plain_yaml_below_the_annotation_limit() -> None:
    text = render()

    assert text.startswith(HEADER)
    assert "&id" not in text
    assert yaml.safe_load(text) == definition()
    # kubectl apply keeps the object as JSON, without the indentation of the file, in an annotation of at most 256 KiB.
    assert len(json.dumps(definition()).encode()) < 240 * 1024


def test_names_columns_and_subresources_are_those_of_the_design(version: dict[str, Any]) -> None:
    names = definition()["spec"]["names"]

    assert names["shortNames"] == ["infsvc"]
    assert names["categories"] == ["all", "paddock"]
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "Ready",
        "Replicas",
        "Model",
        "URL",
        "Age",
    ]
    assert version["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }


def test_the_model_is_required_and_every_group_is_there(version: dict[str, Any]) -> None:
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert spec["required"] == ["model"]
    assert spec["properties"]["model"]["required"] == ["uri"]
    assert {"cache", "structuredOutputs", "replicas", "template", "rollout"} <= set(spec["properties"])


def test_the_scale_paths_exist_in_the_schema(version: dict[str, Any]) -> None:
    properties = version["schema"]["openAPIV3Schema"]["properties"]

    assert properties["spec"]["properties"]["replicas"]["default"] == 1
    assert {"replicas", "selector", "conditions", "url"} <= set(properties["status"]["properties"])


def test_a_default_object_with_rules_is_written_out_so_that_the_rules_hold_for_it(
    version: dict[str, Any],
) -> None:
    fields = spec_of(version)["properties"]

    for name in ("rollout", "cache", "frontend", "parallel"):
        inner = fields[name]["properties"]
        assert fields[name]["default"] == {
            key: field["default"] for key, field in inner.items() if "default" in field
        }


def test_no_rule_asks_whether_a_field_is_there_that_the_api_server_fills_in(version: dict[str, Any]) -> None:
    spec = spec_of(version)
    groups = {name: group for name, group in spec["properties"].items() if "properties" in group}
    rules = [(rule["rule"], spec) for rule in spec["x-kubernetes-validations"]]
    rules += [(each["rule"], g) for g in groups.values() for each in g.get("x-kubernetes-validations", ())]

    for text, schema in rules:
        for path in re.findall(r"has\(self\.(\w+(?:\.\w+)?)\)", text):
            node = schema
            for key in path.split("."):
                node = node["properties"][key]
            assert "default" not in node, (path, text)


def test_one_rule_names_all_that_is_said_in_both_dialects() -> None:
    spec = {
        "model": {"uri": "file:///models/tiny", "dtype": "float32"},
        "cache": {"blockSize": 16},
        "sglang": {"pageSize": 16, "dtype": "auto"},
    }
    service = {"apiVersion": "paddock.dev/v1alpha1", "kind": "InferenceService", "metadata": {"name": "a"}}

    [fault] = check({**service, "spec": spec})

    assert str(fault) == (
        "spec.sglang: Invalid value: sglang needs backend sglang. "
        "pageSize says the same as cache.blockSize; give one of them. "
        "dtype says the same as model.dtype; give one of them."
    )
