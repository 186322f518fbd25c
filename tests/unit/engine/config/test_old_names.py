"""Deprecated and removed arguments: translated with a warning, or refused with a reason."""

import pytest

from paddock.engine.config import ArgumentError, ServeConfig, SpecError, from_spec, parse_serve
from paddock.engine.config.service import ServiceConfig


def test_an_old_switch_is_translated_with_a_warning() -> None:
    warnings: list[str] = []
    config = parse_serve(["--no-disable-log-requests"], {}, warn=warnings.append)

    assert config.service.enable_log_requests is True
    assert config.service.disable_log_requests is None
    assert warnings == ["--disable-log-requests is deprecated: use --enable-log-requests"]


def test_the_translation_also_happens_to_specs_and_in_code() -> None:
    spoken: list[str] = []

    assert from_spec(
        {"service": {"disableLogRequests": False}}, warn=spoken.append
    ).service.enable_log_requests
    assert ServeConfig(service=ServiceConfig(disable_log_requests=False)).service.enable_log_requests
    assert len(spoken) == 1


def test_a_default_that_the_api_server_wrote_does_not_contradict_an_old_name() -> None:
    spec = {"service": {"disableLogRequests": False, "enableLogRequests": False}}

    assert from_spec(spec).service.enable_log_requests is True


def test_an_old_and_a_new_name_at_once_are_refused() -> None:
    with pytest.raises(ArgumentError, match="says the same as --enable-log-requests"):
        parse_serve(["--disable-log-requests", "--enable-log-requests"], {}, warn=lambda _: None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--speculative-model x --num-speculative-tokens 5", '{"model": "x", "num_speculative_tokens": 5}'),
        ("-spec-draft-tp 2", '{"draft_tensor_parallel_size": 2}'),
        ("--worker-use-ray", "--distributed-executor-backend (from --worker-use-ray) ray: not supported"),
        ("--task draft", "--runner (from --task) draft: cannot work here: a draft model runs inside"),
        ("--eplb-window-size 5", '{"window_size": 5}'),
        (
            "--disable-mm-preprocessor-cache",
            "--mm-processor-cache-gb (from --disable-mm-preprocessor-cache) 0.0",
        ),
        ("--override-pooler-config.dimensions 0", "--pooler-config (from --override-pooler-config)"),
        ("--enable-lora-bias", "--enable-lora-bias true: cannot work here: adapters with bias terms"),
        ("--use-v2-block-manager", "--use-v2-block-manager: removed: there is one block manager"),
        ("--override-neuron-config {}", "AWS Neuron devices are not served"),
        ("--prompt-adapters a b", "--prompt-adapters: removed: prompt adapters are not served"),
        ("--additional-config.a 1", '--additional-config {"a": 1}: cannot work here'),
        (
            "--kv-cache-dtype fp8_inc",
            "--kv-cache-dtype fp8_inc: cannot work here: it exists on Intel Gaudi only",
        ),
    ],
)
def test_the_successor_judges_the_value(words: str, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_serve(words.split(), {}, warn=lambda _: None)

    assert message in str(caught.value)


@pytest.mark.parametrize("words", ["--task generate", "--enable-reasoning", "--guided-decoding-backend auto"])
def test_an_old_name_that_asks_for_what_is_so_anyway_is_accepted(words: str) -> None:
    spoken: list[str] = []

    parse_serve(words.split(), {}, warn=spoken.append)

    assert len(spoken) == 1


def test_a_wrong_value_of_an_old_name_is_refused_by_that_name() -> None:
    with pytest.raises(SpecError) as caught:
        from_spec({"service": {"disableLogRequests": "maybe"}, "model": {"task": "sing"}})

    assert {path for path, _ in caught.value.errors} == {"spec.service.disableLogRequests", "spec.model.task"}


def test_guided_decoding_flags_become_keys_of_the_structured_outputs_settings() -> None:
    words = "--guided-decoding-backend guidance --guided-decoding-disable-any-whitespace"
    words += " --guided-decoding-disable-fallback --guided-decoding-disable-additional-properties"

    settings = parse_serve(words.split(), {}, warn=lambda _: None).engine.structured_outputs_config

    assert settings.backend == "guidance"
    assert (settings.disable_any_whitespace, settings.disable_fallback) == (True, True)
    assert settings.disable_additional_properties
