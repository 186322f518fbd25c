"""Environment variables: every one of the dialect, in one of four states, and none that Kubernetes injects."""

import json
from pathlib import Path

import pytest

from paddock.engine.config import ArgumentError, ServeConfig, help_text, parse_serve
from paddock.engine.config.argument import State
from paddock.engine.config.environment import is_service_variable
from paddock.engine.config.variables import STANDARD, VARIABLES, Variable, by_name

FACTS = json.loads((Path(__file__).parent / "variables.json").read_text())
UNPREFIXED_BUILD = {"MAX_JOBS", "NVCC_THREADS", "CMAKE_BUILD_TYPE", "VERBOSE"}
DEBT = [each for each in VARIABLES if each.state in (State.NOT_YET, State.REFUSED) and not each.field]


def name_of(variable: Variable) -> str:
    return variable.name


def other_value(variable: Variable) -> str:
    if variable.form == "bool":
        return "0" if variable.default else "1"
    return "7" if variable.form in ("int", "float") else "/some/word"


def test_every_variable_of_the_catalogue_is_known_under_our_prefix() -> None:
    for fact in FACTS:
        name = fact["name"].removeprefix("VLLM_")
        assert f"PADDOCK_{name}" in by_name() or name in STANDARD or name in UNPREFIXED_BUILD
        assert not fact["applies"] or name not in UNPREFIXED_BUILD


def test_no_variable_is_listed_twice() -> None:
    assert len(by_name()) == len(VARIABLES)


@pytest.mark.parametrize("variable", DEBT, ids=name_of)
def test_what_is_not_supported_is_refused_by_name(variable: Variable) -> None:
    with pytest.raises(ArgumentError, match=f"{variable.name}.*(not supported yet|cannot work here)"):
        parse_serve([], {variable.name: other_value(variable)})


NAMES_A_REPLICA = {
    ("parallel", "data_parallel_rank"),
    ("parallel", "data_parallel_address"),
    ("parallel", "data_parallel_rpc_port"),
}
"""Fields that are unset by default, while their variables have a value that means something when it is written."""


@pytest.mark.parametrize(
    "variable",
    [each for each in VARIABLES if each.default is not None and each.field not in NAMES_A_REPLICA],
    ids=name_of,
)
def test_the_default_may_be_spelled_out(variable: Variable) -> None:
    written = str(int(variable.default) if isinstance(variable.default, bool) else variable.default)

    assert parse_serve([], {variable.name: written}, warn=lambda _: None) == ServeConfig()


@pytest.mark.parametrize(
    "variable", [each for each in VARIABLES if each.form in ("bool", "int", "float")], ids=name_of
)
def test_a_wrong_value_is_refused_by_name_with_what_is_allowed(variable: Variable) -> None:
    with pytest.raises(ArgumentError, match=f"{variable.name} some word: must be"):
        parse_serve([], {variable.name: "some word"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PADDOCK_PORT", "tcp://10.0.0.1:80"),
        ("PADDOCK_DP_MASTER_PORT", "tcp://10.0.0.1:29500"),
        ("PADDOCK_SERVICE_HOST", "10.0.0.1"),
        ("PADDOCK_SERVICE_PORT", "80"),
        ("PADDOCK_SERVICE_PORT_HTTP", "80"),
        ("PADDOCK_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("PADDOCK_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PADDOCK_PORT_80_TCP_PROTO", "tcp"),
        ("PADDOCK_OPERATOR_PORT", "tcp://10.0.0.1:8080"),
        ("PADDOCK_PORT_53_UDP", "udp://10.0.0.1:53"),
    ],
)
def test_what_kubernetes_injects_for_a_service_is_never_taken_for_ours(name: str, text: str) -> None:
    warnings: list[str] = []

    assert is_service_variable(name, text)
    assert parse_serve([], {name: text}, warnings.append) == ServeConfig()
    assert warnings == []


def test_a_port_of_ours_is_no_service() -> None:
    with pytest.raises(ArgumentError, match="PADDOCK_PORT 5000: not supported yet"):
        parse_serve([], {"PADDOCK_PORT": "5000"})


def test_an_unknown_variable_is_pointed_out_with_a_hint() -> None:
    warnings: list[str] = []
    parse_serve(
        [], {"PADDOCK_API_KEYS": "x", "PADDOCK_SERVER_IMAGE": "y", "VLLM_API_KEY": "z"}, warnings.append
    )

    assert warnings == ["PADDOCK_API_KEYS is no variable of paddock; did you mean PADDOCK_API_KEY?"]


def test_the_first_replica_may_be_named_by_variables() -> None:
    parallel = parse_serve([], {"PADDOCK_DP_SIZE": "2", "PADDOCK_DP_RANK": "0"}).parallel

    assert (parallel.data_parallel_size, parallel.data_parallel_rank) == (2, 0)


def test_a_variable_that_supplies_an_argument_is_judged_as_that() -> None:
    assert parse_serve([], {"PADDOCK_DP_SIZE": "2"}).parallel.data_parallel_size == 2
    with pytest.raises(ArgumentError, match="PADDOCK_DP_SIZE 0: must be a whole number"):
        parse_serve([], {"PADDOCK_DP_SIZE": "0"})
    with pytest.raises(ArgumentError, match="--data-parallel-size 0"):
        parse_serve(["--data-parallel-size", "0"], {"PADDOCK_DP_SIZE": "2"})


def test_deprecation_warnings_can_be_switched_off() -> None:
    warnings: list[str] = []
    parse_serve(["--disable-log-requests"], {"PADDOCK_NO_DEPRECATION_WARNING": "1"}, warnings.append)
    assert warnings == []
    parse_serve(["--disable-log-requests"], {}, warnings.append)
    assert len(warnings) == 1


def test_no_secret_is_shown() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_serve(
            [],
            {"PADDOCK_S3_SECRET_ACCESS_KEY": "very-secret", "PADDOCK_API_KEY": "sk", "PADDOCK_USE_V1": "0"},
        )

    assert "very-secret" not in str(caught.value)
    assert "PADDOCK_USE_V1 0: cannot work here: there is one engine" in str(caught.value)


def test_help_lists_every_variable_with_its_state() -> None:
    text = help_text("environment")

    assert all(variable.name in text for variable in VARIABLES)
    assert all(state.value in text for state in State)
