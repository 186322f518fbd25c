"""`paddock serve --print-config`, as typed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
MODEL = ROOT / "tests/models/tiny/model"


def paddock(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paddock.server", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_effective_configuration_names_the_origin_of_each_value() -> None:
    done = paddock("serve", str(MODEL), "--max-num-seqs", "4", "--print-config")

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "max-num-seqs: 4  # command line" in lines
    assert "max-model-len: 2048  # model" in lines


def test_a_secret_is_masked_in_the_effective_configuration() -> None:
    done = paddock("serve", str(MODEL), "--api-key", "sesame", "--print-config")

    assert "sesame" not in done.stdout
    assert "api-key: ***" in done.stdout


def test_a_model_folder_that_cannot_be_read_is_said_and_fails(tmp_path: Path) -> None:
    done = paddock("serve", str(tmp_path), "--print-config")

    assert done.returncode == 1
    assert "config.json" in done.stderr
