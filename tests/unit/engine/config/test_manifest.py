"""InferenceServices from command lines, and their check without a cluster."""

import shlex
from typing import Any

import pytest
import yaml

from paddock.engine.config import ArgumentError, SpecError, from_spec, parse_serve, to_spec
from paddock.engine.config.manifest.cel import parse
from paddock.engine.config.manifest.cel_library import CelError
from paddock.engine.config.manifest.check import check, identity_faults, schema
from paddock.engine.config.manifest.writer import Manifest, write_manifest


def written(command: str, **options: Any) -> Manifest:
    return write_manifest(shlex.split(command), "qwen3", **options)


def service(**spec: Any) -> dict[str, Any]:
    model = {"uri": "file:///models/a", **spec.pop("model", {})}
    body = {"apiVersion": "paddock.dev/v1alpha1", "kind": "InferenceService", "metadata": {"name": "a"}}
    return {**body, "spec": {"model": model, **spec}}


def faults(**spec: Any) -> list[str]:
    return [str(fault) for fault in check(service(**spec))]


@pytest.mark.parametrize(
    "start",
    [
        "vllm serve /models/m",
        "paddock serve /models/m",
        "/usr/bin/vllm serve --model /models/m",
        "python -m vllm.entrypoints.openai.api_server --model /models/m",
        "python3.12 -m paddock.server serve /models/m",
        "python3 -m sglang.launch_server --model-path /models/m",
    ],
)
def test_every_known_start_is_recognised(start: str) -> None:
    manifest = written(start)

    assert manifest.content["spec"]["model"] == {"uri": "file:///models/m", "servedModelName": ["/models/m"]}
    assert manifest.refused == ()


def test_arguments_become_fields_and_the_frame_is_as_asked() -> None:
    command = (
        "vllm serve Qwen/Qwen3-0.6B --max-model-len 32k --no-enable-prefix-caching --served-model-name q"
    )
    manifest = written(command, namespace="models", replicas=2, uri="pvc://models")

    assert yaml.safe_load(manifest.text()) == {
        "apiVersion": "paddock.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "qwen3", "namespace": "models"},
        "spec": {
            "replicas": 2,
            "model": {"uri": "pvc://models", "servedModelName": ["q"], "maxModelLen": 32000},
            "cache": {"enablePrefixCaching": False},
            "template": {"resources": {"limits": {"nvidia.com/gpu": 1}}},
        },
    }
    assert manifest.text().startswith("# A GPU for each rank")


@pytest.mark.parametrize("hidden", ["CUDA_VISIBLE_DEVICES=", "CUDA_VISIBLE_DEVICES=-1"])
def test_a_command_line_that_hides_its_gpus_gets_none(hidden: str) -> None:
    manifest = written(f"{hidden} vllm serve /m -tp 2")

    assert "template" not in manifest.content["spec"]
    assert "GPU for each rank" not in manifest.text()


def test_a_secret_becomes_a_reference_with_the_command_that_creates_it() -> None:
    manifest = written("vllm serve /m --api-key sk-1 --hf-token hf-2")

    assert "sk-1" not in manifest.text()
    assert "hf-2" not in manifest.text()
    assert manifest.content["spec"]["frontend"]["apiKeySecretRef"] == {
        "name": "qwen3-secrets",
        "key": "api-key",
    }
    assert (
        "kubectl create secret generic qwen3-secrets --from-literal=hf-token=… --from-literal=api-key=…"
        in (manifest.text())
    )


def test_nodes_become_the_pods_of_a_replica_and_gpus_are_counted_for_each() -> None:
    spec = written("vllm serve /m -tp 4 -pp 2 --nnodes 2 --node-rank 1 --master-addr a --headless").content[
        "spec"
    ]

    assert spec["nodes"] == 2
    assert spec["parallel"] == {"tensorParallelSize": 4, "pipelineParallelSize": 2}
    assert spec["template"] == {"resources": {"limits": {"nvidia.com/gpu": 4}}}


@pytest.mark.parametrize(
    ("flags", "parallel", "gpus"),
    [
        ("-dp 4 -tp 2", {"dataParallelSize": 4, "tensorParallelSize": 2}, 8),
        (
            "-dp 4 -dpl 2 -dpa 10.0.0.1 --headless -dpr 2",
            {"dataParallelSize": 4, "dataParallelSizeLocal": 2},
            2,
        ),
        (
            "-dp 4 -dpn 3",
            {"dataParallelSize": 4, "dataParallelSizeLocal": 1, "dataParallelHybridLb": True},
            1,
        ),
    ],
)
def test_engines_of_a_command_line_become_those_of_a_replica(
    flags: str, parallel: dict[str, Any], gpus: int
) -> None:
    manifest = written(f"vllm serve /models/m {flags}")

    assert manifest.content["spec"]["parallel"] == parallel
    assert manifest.content["spec"]["template"] == {"resources": {"limits": {"nvidia.com/gpu": gpus}}}
    assert manifest.refused == ()


def test_what_is_not_served_yet_is_written_down_and_named() -> None:
    manifest = written(
        "vllm serve /m -tp 2 -dcp 2 --rope-scaling.rope_type yarn --rope-scaling.factor 2 --num-scheduler-steps 8"
    )
    spec = manifest.content["spec"]

    assert spec["parallel"] == {"decodeContextParallelSize": 2, "tensorParallelSize": 2}
    assert spec["model"]["ropeScaling"] == {"ropeType": "yarn", "factor": 2.0}
    assert spec["template"] == {"resources": {"limits": {"nvidia.com/gpu": 2}}}
    assert any("spec.parallel.decodeContextParallelSize" in line for line in manifest.refused)
    assert any("--num-scheduler-steps: removed" in line for line in manifest.left_out)
    assert all(line.startswith("#") for line in manifest.text().split("apiVersion")[0].splitlines())


def test_variables_before_the_program_are_explained_without_their_values() -> None:
    manifest = written("VLLM_API_KEY=sk-9 VLLM_USE_V1=0 FOO=bar CUDA_VISIBLE_DEVICES=0 vllm serve /m")

    assert [line.split(":")[0] for line in manifest.left_out] == [
        "PADDOCK_API_KEY",
        "PADDOCK_USE_V1",
        "FOO",
        "CUDA_VISIBLE_DEVICES",
    ]
    assert "sk-9" not in manifest.text()


@pytest.mark.parametrize(
    "command", ["nginx -g x", "", "vllm bench", "vllm serve m --max-num-seqs many", "vllm serve m --x"]
)
def test_a_command_line_that_is_wrong_by_itself_is_an_error(command: str) -> None:
    with pytest.raises(ArgumentError):
        written(command)


def test_the_text_of_a_chat_template_goes_into_the_manifest(tmp_path: Any) -> None:
    template = tmp_path / "a.jinja"
    template.write_text("{{ messages }}")

    assert written(f"vllm serve /m --chat-template {template}").content["spec"]["frontend"][
        "chatTemplate"
    ] == ("{{ messages }}")
    assert "chatTemplate must hold it" in written("vllm serve /m --chat-template ./none.jinja").left_out[0]


def test_a_written_spec_is_read_back_as_the_same_configuration() -> None:
    words = [
        "m",
        "--max-num-seqs",
        "8",
        "--override-generation-config.top_k",
        "3",
        "--allowed-origins",
        '["x"]',
    ]
    config = parse_serve([*words, "--host", "0.0.0.0", "--api-key", "k"], {})
    again = from_spec(to_spec(config), model_path="m")

    left = {"host": None, "api_key": None}
    assert again == config.model_copy(update={"frontend": config.frontend.model_copy(update=left)})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"cache": {"gpuMemoryUtilization": 1.4}},
            "Invalid value: 1.4: spec.cache.gpuMemoryUtilization in body should be less than or equal to 1",
        ),
        ({"cache": {"foo": 1}}, 'spec.cache.foo: strict decoding error: unknown field "spec.cache.foo"'),
        (
            {"cache": {"blockSize": 7}},
            'spec.cache.blockSize: Unsupported value: 7: supported values: "1", "8", "16", "32", "64", "128"',
        ),
        (
            {"cache": 3},
            'spec.cache: Invalid value: "integer": spec.cache in body must be of type object: "integer"',
        ),
        (
            {"frontend": {"apiKeySecretRef": {"name": "a"}}},
            "spec.frontend.apiKeySecretRef.key: Required value",
        ),
        (
            {"scheduler": {"maxNumSeqs": 8.0}},
            'Invalid value: "integer": invalid data, expected int, got float64 evaluating rule: must be written',
        ),
        (
            {"parallel": {"decodeContextParallelSize": 3, "tensorParallelSize": 8}},
            "must divide tensorParallelSize",
        ),
        ({"rollout": {"maxUnavailable": 0}}, "maxSurge and maxUnavailable must not both be 0"),
        ({"model": {"maxModelLen": "1.0005k"}}, "spec.model.maxModelLen in body should match"),
        ({"model": {"maxModelLen": "0.0k"}}, "maxModelLen (--max-model-len): must be above 0"),
        (
            {"nodes": 2, "backend": "sglang", "sglang": {"dataParallelSize": 3}},
            "nodes must divide parallel.dataParallelSize",
        ),
        ({"frontend": {"middleware": ["a"] * 65}}, "Too many: 65: must have at most 64 items"),
        ({"frontend": {"rootPath": "x" * 1025}}, "Too long: may not be more than 1024 bytes"),
        ({"template": {"labels": {"paddock.dev/a": "b"}}}, "keys under paddock.dev/"),
    ],
)
def test_the_check_says_what_the_api_server_says(spec: dict[str, Any], message: str) -> None:
    assert any(message in fault for fault in faults(**spec)), faults(**spec)


def test_a_sound_manifest_has_no_faults() -> None:
    assert faults() == []
    assert faults(scheduler={"maxNumSeqs": 64, "maxNumBatchedTokens": "8k"}, replicas=3) == []


def test_a_manifest_is_of_our_kind_and_has_a_name() -> None:
    assert [fault.path for fault in identity_faults({"kind": "Pod"})] == [
        "apiVersion",
        "kind",
        "metadata.name",
    ]
    assert identity_faults([])[0].message == "must be an object"
    assert str(check({**service(), "metadata": {"name": "A"}})[0]).startswith(": Invalid")


def rules(node: dict[str, Any]) -> list[str]:
    found = [rule["rule"] for rule in node.get("x-kubernetes-validations", ())]
    for inner in (*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")):
        found += rules(inner) if isinstance(inner, dict) else []
    return found


def test_every_rule_of_the_custom_resource_can_be_evaluated_here() -> None:
    every = rules(dict(schema()))

    assert len(every) > 300
    assert all(callable(parse(rule)) for rule in every)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("1 + 2 * 3 == 7", True),
        ("self.a > 1 ? 'x' : 'y'", "x"),
        ("has(self.b) || self.a in [1, 2]", True),
        ("!(self.l.all(x, x > 1)) && self.l.exists(x, x == 1)", True),
        ("self.l.filter(x, x > 1).size() == 2", True),
        ("{'k': 1.5}['k'] == 1.5", True),
        ("true == 1", False),
        (r"'a.b'.matches('^a\\.b$')", True),
        ("duration('1m30s').getSeconds() - 1", 89),
        ("'32k'.find('[a-z]$')", "k"),
        ("-1 < 0", True),
    ],
)
def test_rules_compute_as_cel_does(rule: str, value: object) -> None:
    assert parse(rule)({"self": {"a": 2, "l": [1, 2, 3]}}) == value


@pytest.mark.parametrize(
    "rule", ["self.", "1 +", "(1", "unknown(1)", "self.x.y == 1", "1 % 0", "'a' < 1", "§"]
)
def test_what_cannot_be_evaluated_is_an_error_of_its_own(rule: str) -> None:
    with pytest.raises((CelError, IndexError)):
        parse(rule)({"self": {}})


def test_a_spec_error_and_the_check_agree() -> None:
    spec = {"cache": {"kvSharingFastPrefill": True}}

    with pytest.raises(SpecError):
        from_spec(spec)
    assert faults(**spec)
