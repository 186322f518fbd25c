"""The operator's settings: from flags and variables, refused by name."""

import pytest

from paddock.operator.plan.network_policy import Isolation
from paddock.operator.settings import SettingsError, read_settings

GOOD = {"PADDOCK_SERVER_IMAGE": "localhost/paddock-server:1"}


def test_the_environment_of_the_chart_is_read() -> None:
    settings = read_settings(
        [],
        GOOD
        | {
            "PADDOCK_OPERATOR_NAMESPACE": "paddock-system",
            "PADDOCK_OPERATOR_POD_NAME": "operator-7",
            "PADDOCK_SERVER_IMAGE_PULL_POLICY": "Never",
            "PADDOCK_SERVER_IMAGE_PULL_SECRETS": "mirror,spare",
            "PADDOCK_ALLOW_HOST_PATH": "true",
            "PADDOCK_HOST_PATH_PREFIXES": "/models, /data",
            "PADDOCK_LOG_LEVEL": "warning",
            "PADDOCK_LOG_FORMAT": "json",
            "PADDOCK_ACCELERATOR": "nvidia.com/gpu",
            "PADDOCK_NETWORK_POLICIES": "false",
            "PADDOCK_MODEL_CACHE": "pvc://cache",
        },
    )
    assert settings.namespace == "paddock-system"
    assert settings.identity.startswith("operator-7_")
    assert (settings.rendering.pull_policy, settings.rendering.accelerator) == ("Never", "nvidia.com/gpu")
    assert settings.rendering.model_cache == "pvc://cache"
    assert settings.isolation == Isolation(
        enabled=False, operator_namespace="paddock-system", pull_secrets=("mirror", "spare")
    )
    assert settings.metrics_api_certificates is None
    assert settings.host_paths.prefixes == ("/models", "/data")
    assert (settings.log_level, settings.log_format) == ("WARNING", "json")


def test_two_processes_of_one_pod_name_have_two_identities() -> None:
    assert read_settings([], GOOD).identity != read_settings([], GOOD).identity


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "PADDOCK_SERVER_IMAGE is not set"),
        (GOOD | {"PADDOCK_ALLOW_HOST_PATH": "maybe"}, "PADDOCK_ALLOW_HOST_PATH is 'maybe'"),
        (GOOD | {"PADDOCK_HOST_PATH_PREFIXES": "models"}, "'models'; each must be an absolute path"),
        (GOOD | {"PADDOCK_LOG_LEVEL": "LOUD"}, "DEBUG, INFO, WARNING, ERROR"),
        (GOOD | {"PADDOCK_ACCELERATOR": "gpu"}, "PADDOCK_ACCELERATOR is 'gpu'"),
        (GOOD | {"PADDOCK_MODEL_CACHE": "cache"}, "PADDOCK_MODEL_CACHE is 'cache'"),
        (GOOD | {"PADDOCK_NETWORK_POLICIES": "some"}, "PADDOCK_NETWORK_POLICIES is 'some'"),
        (GOOD | {"PADDOCK_METRICS_API_CERTIFICATES": "/nowhere"}, "no tls.crt and no tls.key"),
        (GOOD | {"PADDOCK_SERVER_IMAGE_PULL_POLICY": "Often"}, "Always, IfNotPresent, Never"),
    ],
)
def test_a_bad_setting_is_refused_by_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings([], environ)
    assert said in str(caught.value)


def test_flags_stand_above_variables() -> None:
    settings = read_settings(["--server-image", "other:2", "--namespace", "a", "--namespace", "b"], GOOD)
    assert settings.rendering.image == "other:2"
    assert settings.watched == ("a", "b")


def test_an_impossible_number_of_workers_ends_the_command_line() -> None:
    with pytest.raises(SystemExit):
        read_settings(["--workers", "0"], GOOD)
