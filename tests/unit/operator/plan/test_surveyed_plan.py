"""The plan by what a pod read in the model's files: before the weights are there, and refused where they cannot fit."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.plan.actions import withdrawal
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.refusal import ModelDoesNotFit
from paddock.operator.plan.survey import Survey, survey_of
from paddock.operator.resource import InferenceService
from paddock.operator.snapshot import Pod, Snapshot

Make = Callable[..., Any]
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "dtype": "bfloat16", "head_dim": 128, "hidden_size": 1024,
    "intermediate_size": 3072, "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
    "tie_word_embeddings": True, "vocab_size": 151936,
}  # fmt: skip
WEIGHTS = 2 * 596_049_920
HUB = {"uri": "hf://Qwen/Qwen3-0.6B"}


def surveyed(service: InferenceService, survey: Survey | None) -> Blueprint:
    host_paths = HostPathPolicy(False, ())
    revision = Blueprint.of(InferenceService(**{**vars(service), "status": {}}), host_paths).revision
    return Blueprint.of(service, host_paths, "", {revision: survey} if survey else {})


def small(memory: str) -> dict[str, Any]:
    return {"acceleratorMemory": memory, "accelerator": "nvidia.com/gpu"}


def test_the_configuration_of_the_files_is_as_good_as_one_that_is_stated(make_service: Make) -> None:
    plan = surveyed(make_service(model=HUB), Survey(CONFIG, {"BF16": 1})).memory

    assert (plan["weightBytes"], plan["kvBytesPerToken"]) == (WEIGHTS, 28 * 2 * 8 * 128 * 2)
    assert plan["basis"] == "read in the model's config.json"


def test_what_the_spec_overrides_is_laid_over_it(make_service: Make) -> None:
    model = {**HUB, "hfOverrides": json.dumps({"num_hidden_layers": 14})}

    plan = surveyed(make_service(model=model), Survey(CONFIG, {})).memory

    assert plan["kvBytesPerToken"] == 14 * 2 * 8 * 128 * 2


def test_a_model_too_large_is_refused_and_stays_refused_when_its_pod_is_gone(make_service: Make) -> None:
    with pytest.raises(ModelDoesNotFit, match="the weights take 1") as caught:
        surveyed(make_service(model=HUB, template=small("1Gi")), Survey(CONFIG, {}))
    assert caught.value.plan["weightBytes"] == WEIGHTS

    status = {"plan": caught.value.plan}
    with pytest.raises(ModelDoesNotFit):
        Blueprint.of(make_service(status, model=HUB, template=small("1Gi")), HostPathPolicy(False, ()))
    allowed = Blueprint.of(make_service(status, model=HUB, template=small("8Gi")), HostPathPolicy(False, ()))
    assert allowed.memory["weightBytes"] == WEIGHTS


def test_figures_of_another_model_are_not_remembered(make_service: Make) -> None:
    plan = surveyed(make_service(model=HUB), Survey(CONFIG, {})).memory

    other = Blueprint.of(make_service({"plan": plan}, model={"uri": "hf://a/b"}), HostPathPolicy(False, ()))

    assert "weightBytes" not in other.memory


def test_weights_of_an_unknown_architecture_are_counted_and_refuse_nothing(make_service: Make) -> None:
    survey = Survey({"architectures": ["NewForCausalLM"], "dtype": "bfloat16"}, {"F32": 10**9, "I8": 5})

    plan = surveyed(make_service(model=HUB, template=small("1Gi")), survey).memory

    assert plan["weightBytes"] == 2 * 10**9 + 5
    assert "kvBytesPerToken" not in plan
    assert "may leave some out" in plan["basis"]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {**CONFIG, "head_dim": "wide"},
        {**CONFIG, "num_attention_heads": 0, "head_dim": None},
        {**CONFIG, "quantization_config": 7},
        {**CONFIG, "architectures": 7},
        {**CONFIG, "num_experts": {"a": 1}},
    ],
)
def test_a_configuration_that_makes_no_sense_leaves_the_plan_without_figures(
    config: dict[str, Any], make_service: Make
) -> None:
    assert "weightBytes" not in surveyed(make_service(model=HUB), Survey(config, {})).memory


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {}, "elements": {"F32": -1}}', "[" * 4096])
def test_last_words_of_something_else_are_no_survey(text: str) -> None:
    ended = {"name": "survey", "state": {"terminated": {"exitCode": 0, "message": text}}}

    assert survey_of({"status": {"initContainerStatuses": [ended]}}) is None


def test_groups_that_only_download_it_go_and_one_that_serves_stays(
    make_blueprint: Make, live_set: Make, make_pod: Callable[..., Pod]
) -> None:
    blueprint, other = make_blueprint(), make_blueprint(model={"uri": "file:///models/other"})
    sets = {0: live_set(blueprint, 0), 1: live_set(blueprint, 1), 2: live_set(other, 2)}
    pods = (make_pod(0, blueprint.revision, ready=False), make_pod(1, blueprint.revision))

    going = withdrawal(Snapshot(blueprint.service, sets, pods), blueprint.revision)

    assert [each.name for each in going] == ["qwen3-0"]
