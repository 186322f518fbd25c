"""The argument groups of an InferenceService, read without a cluster."""

from typing import Any

import pytest

from paddock.engine.config import ServeConfig, SpecError, from_spec, to_argv

SPEC: dict[str, Any] = {
    "model": {"uri": "pvc://models", "dtype": "bfloat16", "maxModelLen": "32k", "servedModelName": ["a"]},
    "cache": {"gpuMemoryUtilization": 0.5, "blockSize": 32},
    "frontend": {"apiKeySecretRef": {"name": "keys", "key": "key"}, "port": 8001},
    "replicas": 3,
    "template": {"nodeSelector": {"a": "b"}},
}


def errors_of(spec: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        from_spec(spec)
    return dict(caught.value.errors)


def test_fields_are_arguments_in_camel_case() -> None:
    config = from_spec(SPEC, model_path="/models/model")

    assert (config.model.model, config.model.max_model_len) == ("/models/model", 32000)
    assert (config.cache.block_size, config.frontend.port) == (32, 8001)


def test_secrets_never_become_arguments() -> None:
    assert from_spec(SPEC).frontend.api_key is None
    assert not any("key" in word for word in to_argv(from_spec(SPEC)))


def test_an_empty_spec_is_the_default_configuration() -> None:
    assert from_spec({}) == ServeConfig()
    assert from_spec({"cache": None, "model": {"dtype": None}}) == ServeConfig()


def test_structures_have_camel_case_keys() -> None:
    config = from_spec({"model": {"overrideGenerationConfig": {"topK": 3, "maxNewTokens": 9}}})

    assert config.model.override_generation_config.top_k == 3
    assert errors_of({"model": {"overrideGenerationConfig": {"top_k": 3}}}) == {
        "spec.model.overrideGenerationConfig.top_k": "unknown field; did you mean topK?"
    }


def test_every_problem_has_its_path() -> None:
    errors = errors_of(
        {
            "cache": {"gpuMemoryUtilization": 1.4, "blocksize": 3, "kvSharingFastPrefill": True},
            "scheduler": {"maxNumSeqs": 64, "maxNumBatchedTokens": 63},
            "load": 3,
            "model": {"ropeScaling": {"factor": -1}, "hfOverrides": {"a": 1}},
        }
    )

    assert errors["spec.cache.gpuMemoryUtilization"] == "1.4: must be a number above 0 and of at most 1"
    assert errors["spec.cache.blocksize"] == "unknown field; did you mean blockSize?"
    assert errors["spec.cache.kvSharingFastPrefill"].endswith("not supported yet; leave it at false")
    assert errors["spec.scheduler.maxNumBatchedTokens"].startswith(
        "maxNumBatchedTokens must be at least maxNumSeqs"
    )
    assert errors["spec.load"] == "must be an object"
    assert errors["spec.model.ropeScaling.factor"] == "-1: must be a number above 0"
    assert errors["spec.model.hfOverrides"] == "must be text that holds a JSON object"


@pytest.mark.parametrize(
    ("field", "value"),
    [("maxNumSeqs", "64"), ("maxNumSeqs", True), ("enableChunkedPrefill", "true"), ("maxNumSeqs", 1.5)],
)
def test_types_are_strict(field: str, value: object) -> None:
    assert list(errors_of({"scheduler": {field: value}})) == [f"spec.scheduler.{field}"]


def test_a_whole_number_is_written_without_a_decimal_point_as_the_api_server_wants_it() -> None:
    assert list(errors_of({"scheduler": {"maxNumSeqs": 64.0}})) == ["spec.scheduler.maxNumSeqs"]
    assert list(errors_of({"cache": {"blockSize": 16.0}})) == ["spec.cache.blockSize"]
    assert list(errors_of({"model": {"maxModelLen": 100.0}})) == ["spec.model.maxModelLen"]


@pytest.mark.parametrize(
    "reference", [{}, {"name": "a"}, {"name": "a", "key": "b", "x": 1}, "text", {"name": "", "key": "b"}]
)
def test_a_secret_reference_has_a_name_and_a_key(reference: object) -> None:
    assert "spec.frontend.apiKeySecretRef" in errors_of({"frontend": {"apiKeySecretRef": reference}})


def test_the_value_of_a_secret_has_no_field() -> None:
    assert list(errors_of({"frontend": {"apiKey": ["k"]}})) == ["spec.frontend.apiKey"]


def test_what_the_operator_decides_cannot_be_set() -> None:
    errors = errors_of({"frontend": {"host": "127.0.0.1", "port": 0}, "service": {"config": "a.yaml"}})

    assert set(errors) == {"spec.frontend.host", "spec.frontend.port", "spec.service.config"}
