"""`status.configuration` tells what is served with, and where each value came from."""

from collections.abc import Callable

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.configuration import SHOWN_CHARACTERS

Blueprints = Callable[..., Blueprint]
MODEL = {"argument": "model", "value": "file:///models/tiny", "origin": "spec.model.uri"}
NAME = {"argument": "served-model-name", "value": "qwen3", "origin": "metadata.name"}


def test_a_bare_spec_shows_the_model_and_its_name(make_blueprint: Blueprints) -> None:
    assert make_blueprint().configuration == (MODEL, NAME)


def test_each_value_names_the_field_that_set_it(make_blueprint: Blueprints) -> None:
    model = {"uri": "file:///models/tiny", "maxModelLen": "4k", "servedModelName": ["a", "b"]}
    shown = make_blueprint(model=model).configuration
    assert shown == (
        {"argument": "max-model-len", "value": "4000", "origin": "spec.model.maxModelLen"},
        MODEL,
        {"argument": "served-model-name", "value": '["a", "b"]', "origin": "spec.model.servedModelName"},
    )


def test_defaults_that_the_api_server_wrote_are_not_shown(make_blueprint: Blueprints) -> None:
    stored = make_blueprint(
        cache={"gpuMemoryUtilization": 0.9}, model={"uri": "file:///models/tiny", "dtype": "auto"}
    )
    assert stored.configuration == (MODEL, NAME)


def test_a_secret_shows_where_it_lies_and_not_what_it_is(make_blueprint: Blueprints) -> None:
    shown = make_blueprint(frontend={"apiKeySecretRef": {"name": "keys", "key": "key"}}).configuration
    assert {"argument": "api-key", "value": "***", "origin": "Secret keys, key key"} in shown


def test_old_names_and_the_other_dialect_show_the_field_that_was_written(make_blueprint: Blueprints) -> None:
    old = make_blueprint(service={"disableLogRequests": False}).configuration
    dialect = make_blueprint(backend="sglang", sglang={"pageSize": 32}).configuration
    assert {
        "argument": "enable-log-requests", "value": "true", "origin": "spec.service.disableLogRequests",
    } in old  # fmt: skip
    assert {"argument": "block-size", "value": "32", "origin": "spec.sglang.pageSize"} in dialect


def test_a_long_value_is_cut(make_blueprint: Blueprints) -> None:
    [template, *_] = make_blueprint(frontend={"chatTemplate": "{{ x }}" * 1000}).configuration
    assert template["argument"] == "chat-template"
    assert len(template["value"]) == SHOWN_CHARACTERS
    assert template["value"].endswith("…")
