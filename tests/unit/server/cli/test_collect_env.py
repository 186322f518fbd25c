"""A bug report holds what matters and no secret."""

import pytest

from paddock.server.cli.collect_env import collect_env, environment

Output = pytest.CaptureFixture[str]

GIVEN = {
    "PADDOCK_API_KEY": "sesame",
    "HF_TOKEN": "hf_sesame",
    "PADDOCK_GROUP_SECRET": "sesame",
    "HF_ENDPOINT": "https://user:sesame@hub.example/x?signature=sesame",
    "CUDA_VISIBLE_DEVICES": "0,1",
    "OMP_NUM_THREADS": "2",
    "HOME": "/home/sesame",
    "DATABASE_URL": "sesame",
}


def test_secrets_are_masked_and_foreign_variables_left_out() -> None:
    assert dict(environment(GIVEN)) == {
        "PADDOCK_API_KEY": "***",
        "HF_TOKEN": "***",
        "PADDOCK_GROUP_SECRET": "***",
        "HF_ENDPOINT": "https://***hub.example/x?***",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "OMP_NUM_THREADS": "2",
    }


def test_the_report_names_versions_and_never_a_secret(capsys: Output) -> None:
    assert collect_env([], GIVEN) == 0
    report = capsys.readouterr().out
    for title in ("System", "Python", "Torch", "GPUs", "Libraries", "Environment"):
        assert f"== {title}\n" in report
    assert "\ntorch: 2." in report
    assert "sesame" not in report
