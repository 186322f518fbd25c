"""`paddock manifest` as somebody at a terminal meets it: output, messages and exit status."""

from pathlib import Path

import pytest
import yaml

from paddock.server.cli.manifest import ACCEPTED, REFUSED, USAGE_ERROR, manifest

Output = pytest.CaptureFixture[str]


def test_a_command_line_that_can_be_served_is_printed(capsys: Output) -> None:
    status = manifest(["--name", "tiny", "--namespace", "models", "--", "vllm", "serve", "/models/tiny"])
    printed = yaml.safe_load(capsys.readouterr().out)

    assert status == ACCEPTED
    assert printed["metadata"] == {"name": "tiny", "namespace": "models"}
    assert printed["spec"]["model"]["uri"] == "file:///models/tiny"


def test_one_that_cannot_be_served_yet_is_printed_and_the_status_says_so(capsys: Output) -> None:
    assert manifest(["--", "vllm", "serve", "/m", "--kv-sharing-fast-prefill"]) == REFUSED
    assert "# - spec.cache.kvSharingFastPrefill: Invalid value: true: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [[], ["--name", "a"], ["--"], ["--", "nginx"], ["--", "vllm", "serve", "m", "--x"]]
)
def test_a_command_line_that_is_wrong_is_a_usage_error(argv: list[str], capsys: Output) -> None:
    assert manifest(argv) == USAGE_ERROR
    assert "paddock manifest: " in capsys.readouterr().err


def test_what_was_printed_passes_the_check(tmp_path: Path, capsys: Output) -> None:
    manifest(["--name", "tiny", "--", "paddock", "serve", "/models/tiny", "--max-num-seqs", "32"])
    file = tmp_path / "service.yaml"
    file.write_text(capsys.readouterr().out)

    assert manifest(["--check", str(file)]) == ACCEPTED
    assert capsys.readouterr().out == "tiny: the API server would accept it\n"


def test_every_fault_of_a_file_is_named(tmp_path: Path, capsys: Output) -> None:
    manifest(["--name", "tiny", "--", "vllm", "serve", "/models/tiny", "--kv-sharing-fast-prefill"])
    file = tmp_path / "service.yaml"
    file.write_text("kind: ConfigMap\n---\n" + capsys.readouterr().out)

    assert manifest(["--check", str(file)]) == REFUSED
    fault = "tiny: spec.cache.kvSharingFastPrefill: Invalid value: true: kvSharingFastPrefill (--kv-sharing"
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("a: [", USAGE_ERROR, "is not YAML"),
        ("kind: ConfigMap", USAGE_ERROR, "holds no InferenceService"),
        ("- a", REFUSED, "must be an object"),
        ("kind: InferenceService", REFUSED, "metadata.name: Required value"),
    ],
)
def test_a_file_that_is_no_manifest_says_why(
    tmp_path: Path, capsys: Output, text: str, status: int, message: str
) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(text)

    assert manifest(["--check", str(file)]) == status
    assert message in capsys.readouterr().err


def test_a_missing_file_is_a_usage_error(capsys: Output) -> None:
    assert manifest(["--check", "/none.yaml"]) == USAGE_ERROR
    assert "cannot be read" in capsys.readouterr().err
