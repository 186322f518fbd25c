"""What works on a command line and cannot inside a cluster is refused there, with the reason."""

import pytest

from paddock.engine.config import SpecError, from_spec
from paddock.engine.config.catalogue import by_path
from paddock.engine.config.spec_rules import field_rules


def test_required_client_certificates_are_refused_since_probes_have_none() -> None:
    with pytest.raises(SpecError) as caught:
        from_spec({"frontend": {"sslCertReqs": 2}})

    assert any(
        "kubelet" in message for path, message in caught.value.errors if path == "spec.frontend.sslCertReqs"
    )


def test_the_api_server_refuses_it_with_the_same_words() -> None:
    rules = field_rules(by_path()["frontend", "ssl_cert_reqs"])

    [rule] = [rule for rule in rules if rule["rule"] == "self != 2"]
    assert "2: cannot be used here: the kubelet" in rule["message"]


@pytest.mark.parametrize(
    ("group", "field", "value"), [("frontend", "uds", "/tmp/s"), ("service", "headless", True)]
)
def test_what_the_operator_decides_cannot_be_changed(group: str, field: str, value: object) -> None:
    with pytest.raises(SpecError, match="cannot be changed here"):
        from_spec({group: {field: value}})
