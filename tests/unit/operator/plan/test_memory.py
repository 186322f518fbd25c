"""The plan of devices and memory, and the refusal of what cannot fit."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.refusal import Refusal

Blueprints = Callable[..., Blueprint]
QWEN3_06B = {
    "architectures": ["Qwen3ForCausalLM"],
    "dtype": "bfloat16",
    "head_dim": 128,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
}
LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"],
    "torch_dtype": "bfloat16",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
MIXTRAL_8X7B = {
    "architectures": ["MixtralForCausalLM"],
    "torch_dtype": "bfloat16",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "vocab_size": 32000,
}


def model(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"uri": "file:///models/tiny", "hfOverrides": json.dumps(config), **more}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [(QWEN3_06B, 596_049_920), (LLAMA_70B, 70_553_706_496), (MIXTRAL_8X7B, 46_702_792_704)],
    ids=["Qwen3-0.6B", "Llama-3-70B", "Mixtral-8x7B"],
)
def test_weights_are_as_many_as_the_published_models_have(
    config: dict[str, Any], parameters: int, make_blueprint: Blueprints
) -> None:
    assert make_blueprint(model=model(config)).memory["weightBytes"] == 2 * parameters


LINEAR, EMBEDDING, NORMS = 440_401_920, 151_936 * 1024, 65_536
"""Weights of Qwen3-0.6B; its embedding is the head too."""


@pytest.mark.parametrize(
    ("config", "more", "expected"),
    [
        ({}, {"quantization": "int8"}, LINEAR * 8.25 / 8 + EMBEDDING * 8.25 / 8 + 2 * NORMS),
        ({}, {"quantization": "int4"}, LINEAR * 4.25 / 8 + EMBEDDING * 8.25 / 8 + 2 * NORMS),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128},
            {},
            LINEAR * 4.25 / 8 + 2 * (EMBEDDING + NORMS),
        ),
        ({"quant_method": "gptq", "bits": 8, "sym": False}, {}, LINEAR * 8.5 / 8 + 2 * (EMBEDDING + NORMS)),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, {}, LINEAR * 5 / 8 + 2 * (EMBEDDING + NORMS)),
        ({"quant_method": "awq"}, {"dtype": "float16"}, 2 * 596_049_920),
        ({"quant_method": "fp8"}, {}, 2 * 596_049_920),
    ],
)
def test_codes_are_counted_with_their_scales_on_cpus(
    config: dict[str, Any], more: dict[str, Any], expected: float, make_blueprint: Blueprints
) -> None:
    fields = {**QWEN3_06B, "quantization_config": config} if config else QWEN3_06B
    memory = make_blueprint(model=model(fields, **more), template={"accelerator": ""}).memory
    assert memory["weightBytes"] == expected


def test_the_cache_has_the_type_of_the_attention_unless_it_has_its_own(make_blueprint: Blueprints) -> None:
    def bytes_per_token(cache_type: str, **more: str) -> int:
        memory = make_blueprint(model=model(QWEN3_06B, **more), cache={"kvCacheDtype": cache_type}).memory
        found: int = memory["kvBytesPerToken"]
        return found

    assert bytes_per_token("auto", overrideAttentionDtype="float32") == 2 * bytes_per_token("auto")
    assert bytes_per_token("fp8", overrideAttentionDtype="float32") == bytes_per_token("fp8")


def test_codes_that_ranks_would_cut_out_of_order_are_not_guessed(make_blueprint: Blueprints) -> None:
    config = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}
    spec = {"model": model({**QWEN3_06B, "quantization_config": config}), "template": {"accelerator": ""}}

    assert make_blueprint(**spec).memory["weightBytes"] == LINEAR * 4.25 / 8 + 2 * (EMBEDDING + NORMS)
    assert "weightBytes" not in make_blueprint(**spec, parallel={"tensorParallelSize": 2}).memory


def test_a_checkpoints_codes_are_plain_numbers_on_gpus(make_blueprint: Blueprints) -> None:
    fields = {**QWEN3_06B, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}
    memory = make_blueprint(model=model(fields), template={"accelerator": "nvidia.com/gpu"}).memory
    assert memory["weightBytes"] == 2 * 596_049_920


def test_the_plan_counts_pods_devices_weights_and_tokens(make_blueprint: Blueprints) -> None:
    template = {"resources": {"limits": {"nvidia.com/gpu": 4}}, "acceleratorMemory": "80Gi"}
    blueprint = make_blueprint(
        model=model(LLAMA_70B), parallel={"tensorParallelSize": 4, "dataParallelSize": 2}, template=template
    )
    each = 80 * 2 * 8 * 128 * 2
    room = 4 * int((80 << 30) * 0.9) - 141_107_412_992
    assert blueprint.memory == {
        "podsPerReplica": 2,
        "gpusPerPod": 4,
        "acceleratorMemoryBytes": 80 << 30,
        "weightBytes": 141_107_412_992,
        "kvBytesPerToken": each,
        "kvTokensPerReplica": 2 * (room // each // 16 * 16),
        "basis": "spec.model.hfOverrides",
        "key": blueprint.memory["key"],
    }


@pytest.mark.parametrize(
    ("template", "size"),
    [
        ({"nodeSelector": {"nvidia.com/gpu.memory": "81559"}}, 81559 << 20),
        ({"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}}, 40 << 30),
        (
            {
                "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
                "acceleratorMemory": "79Gi",
            },
            79 << 30,
        ),
        ({"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}}, None),
    ],
)
def test_the_memory_of_a_device_is_named_by_a_field_or_a_label(
    template: dict[str, Any], size: int | None, make_blueprint: Blueprints
) -> None:
    assert make_blueprint(template=template).memory.get("acceleratorMemoryBytes") == size


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"model": model(LLAMA_70B), "template": {"acceleratorMemory": "80Gi"}},
            (
                "the weights take 141.1 GB, and a device has 85.9 GB (spec.template.acceleratorMemory) "
                "times gpuMemoryUtilization 0.9, which is 77.3 GB: at least 2 ranks are needed"
            ),
        ),
        (
            {
                "model": model(LLAMA_70B, maxModelLen=131072),
                "parallel": {"tensorParallelSize": 2},
                "template": {"acceleratorMemory": "80Gi"},
            },
            (
                "maxModelLen: 131072 tokens of 327680 bytes take 42.9 GB of cache, and it holds 41232 tokens at most: a device "
                "has 85.9 GB (spec.template.acceleratorMemory) times gpuMemoryUtilization 0.9, which is 77.3 GB, and the weights "
                "take 70.6 GB of it on each of 2 ranks"
            ),
        ),
        (
            {"model": model(QWEN3_06B, maxModelLen=1024), "cache": {"kvCacheMemoryBytes": 10_000_000}},
            "1024 tokens of 114688 bytes take 0.1 GB of cache, and it holds 80 tokens at most: kvCacheMemoryBytes is 10000000",
        ),
    ],
)
def test_what_cannot_fit_is_refused_with_the_arithmetic(
    spec: dict[str, Any], said: str, make_blueprint: Blueprints
) -> None:
    with pytest.raises(Refusal) as caught:
        make_blueprint(**spec)
    assert caught.value.reason == "DoesNotFit"
    assert said in caught.value.message


def test_layers_that_stay_in_host_memory_take_none_of_the_device(make_blueprint: Blueprints) -> None:
    held = {"model": model(LLAMA_70B), "cache": {"cpuOffloadGb": 80}}

    make_blueprint(**held, template={"acceleratorMemory": "80Gi"})
    with pytest.raises(Refusal, match="at least 2 ranks are needed"):
        make_blueprint(model=model(LLAMA_70B), template={"acceleratorMemory": "80Gi"})


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"rope_theta": 10000.0},
        {**QWEN3_06B, "architectures": ["SomethingForCausalLM"]},
        {**QWEN3_06B, "quantization_config": {"quant_method": "bitsandbytes"}},
        {**MIXTRAL_8X7B, "quantization_config": {"quant_method": "gptq", "bits": 3}},
        {**QWEN3_06B, "dtype": None},
        {**QWEN3_06B, "num_hidden_layers": "many"},
    ],
)
def test_what_is_not_known_is_not_guessed_and_nothing_is_refused(
    config: dict[str, Any], make_blueprint: Blueprints
) -> None:
    memory = make_blueprint(model=model(config), template={"acceleratorMemory": "1Mi"}).memory
    assert "weightBytes" not in memory
    assert memory["basis"].startswith("weights and cache are known when a replica has loaded")


def test_what_an_engine_holds_that_shares_its_experts_is_not_guessed(make_blueprint: Blueprints) -> None:
    shared = {"dataParallelSize": 8, "enableExpertParallel": True}
    spec = {"model": model(MIXTRAL_8X7B), "template": {"acceleratorMemory": "24Gi"}}
    with pytest.raises(Refusal, match="at least 5 ranks"):
        make_blueprint(**spec, parallel={"dataParallelSize": 8})

    memory = make_blueprint(**spec, parallel=shared).memory
    assert "weightBytes" not in memory
    assert memory["key"] != make_blueprint(**spec, parallel={**shared, "dataParallelSize": 4}).memory["key"]


def test_a_report_stands_until_what_it_depends_on_changes(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint()
    plan = {
        "key": blueprint.memory["key"],
        "weightBytes": 10**9,
        "kvBytesPerToken": 1000,
        "kvTokensPerReplica": 4096,
        "basis": f"reported by pod qwen3-0-0 of revision {blueprint.revision}",
    }
    kept = make_blueprint(status={"plan": plan}).memory
    assert (kept["weightBytes"], kept["kvTokensPerReplica"]) == (10**9, 4096)
    resized = make_blueprint(status={"plan": plan}, cache={"kvCacheMemoryBytes": "32M"}).memory
    assert (resized["weightBytes"], resized["kvTokensPerReplica"]) == (10**9, 33_552)
    other = make_blueprint(status={"plan": plan}, model={"uri": "file:///models/other"}).memory
    assert "weightBytes" not in other
    with pytest.raises(Refusal, match="at least 2 ranks"):
        make_blueprint(status={"plan": plan}, template={"acceleratorMemory": "1Gi"})


def test_a_model_that_keeps_no_cache_has_room_for_every_length(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint()
    plan = {
        "key": blueprint.memory["key"],
        "weightBytes": 10**9,
        "kvBytesPerToken": 0,
        "basis": "reported by pod qwen3-0-0 of revision old",
    }
    model = {"uri": "file:///models/tiny", "maxModelLen": 4096}
    memory = make_blueprint(status={"plan": plan}, model=model, cache={"kvCacheMemoryBytes": "1M"}).memory
    assert (memory["weightBytes"], memory.get("kvTokensPerReplica")) == (10**9, None)


def test_the_memory_of_a_device_rolls_no_pod(make_blueprint: Blueprints) -> None:
    assert make_blueprint(template={"acceleratorMemory": "80Gi"}).revision == make_blueprint().revision
