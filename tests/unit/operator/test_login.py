"""Credentials from a kubeconfig: every form that works, and words for those that do not."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddock.operator.login import LoginError, find_credentials, from_kubeconfig


def write(folder: Path, user: dict[str, Any], **cluster: Any) -> Path:
    config = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "models"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://localhost:6443/", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(config))
    return path


def test_inline_certificates_are_decoded(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    user = {"client-certificate-data": data, "client-key-data": data}
    found = from_kubeconfig(write(tmp_path, user, **{"certificate-authority-data": data}))
    assert (found.server, found.namespace) == ("https://localhost:6443", "models")
    assert found.ca == found.certificate == found.key == b"PEM"


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    found = from_kubeconfig(write(tmp_path, {"tokenFile": "token"}, **{"certificate-authority": "ca.crt"}))
    assert found.ca == b"CA"
    assert found.token_file == tmp_path / "token"


def test_a_login_program_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="use a token or a certificate"):
        from_kubeconfig(write(tmp_path, {"exec": {"command": "aws"}}))


def test_an_unknown_context_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match=r"'two'.*it has: one"):
        from_kubeconfig(write(tmp_path, {"token": "t"}), "two")


def test_no_kubeconfig_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="--kubeconfig FILE"):
        find_credentials(str(tmp_path / "absent"))
