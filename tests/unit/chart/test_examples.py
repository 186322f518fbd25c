"""Every example is accepted by the CRD's schema, strictly: an unknown field fails."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from closed_schema import closed

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def spec_schema() -> jsonschema.Draft4Validator:
    """Checks a spec. OpenAPI 3.0, which CRDs are written in, shares draft 4's boolean exclusiveMinimum."""
    crd = yaml.safe_load((ROOT / "crds" / "inferenceservices.paddock.dev.yaml").read_text(encoding="utf-8"))
    whole = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return jsonschema.Draft4Validator(closed(whole["properties"]["spec"]))


@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_is_a_valid_inference_service(
    spec_schema: jsonschema.Draft4Validator, example: Path
) -> None:
    documents = list(yaml.safe_load_all(example.read_text(encoding="utf-8")))
    services = [document for document in documents if document["kind"] == "InferenceService"]

    assert len(services) == 1
    assert services[0]["apiVersion"] == "paddock.dev/v1alpha1"
    spec_schema.validate(services[0]["spec"])


def test_a_misspelt_field_would_be_noticed(spec_schema: jsonschema.Draft4Validator) -> None:
    with pytest.raises(jsonschema.ValidationError, match="maxNumSeq"):
        spec_schema.validate({"model": {"uri": "pvc://a/b"}, "scheduler": {"maxNumSeq": 1}})
