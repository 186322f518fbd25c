"""What the API server refuses of `spec.model`, by the rules of the schema."""

from typing import Any

import pytest

from paddock.engine.config.manifest.check import check

SUM = {"sha256": "0" * 64}


def faults(**model: Any) -> list[str]:
    manifest = {
        "apiVersion": "paddock.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "tiny"},
        "spec": {"model": model},
    }
    return [fault.message for fault in check(manifest)]


@pytest.mark.parametrize(
    "model",
    [
        {"uri": "hf://Qwen/Qwen3-0.6B"},
        {"uri": "hf://Qwen/Qwen3-0.6B@refs/pr/1", "source": {"endpoint": "https://hub.example/api"}},
        {"uri": "hf://Qwen/Qwen3-0.6B", "revision": "v2", "source": {"cache": "pvc://cache"}},
        {"uri": "s3://models/team/qwen3/", "source": {"credentialsSecretRef": {"name": "s3"}, "cache": ""}},
        {"uri": "https://models.example/qwen3.tar.gz", "source": SUM},
    ],
)
def test_each_kind_of_source_is_accepted(model: dict[str, Any]) -> None:
    assert faults(**model) == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"uri": "hf://Qwen3-0.6B"}, "hf://OWNER/NAME"),
        ({"uri": "s3://UPPER/x"}, "s3://BUCKET"),
        ({"uri": "https://user:pass@models.example/a.tar", "source": SUM}, "no user, password"),
        ({"uri": "https://models.example/a.tar?token=x", "source": SUM}, "or query"),
        ({"uri": "https://models.example/a.rar", "source": SUM}, "ends with .tar"),
        ({"uri": "https://models.example/a.tar"}, "sha256 is needed"),
        ({"uri": "hf://a/b", "source": SUM}, "belongs to it only"),
        ({"uri": "hf://a/b", "source": {"credentialsSecretRef": {"name": "s3"}}}, "use hfTokenSecretRef"),
        ({"uri": "pvc://models", "source": {"endpoint": "https://hub.example"}}, "endpoint belongs"),
        ({"uri": "pvc://models", "source": {"cache": "pvc://cache"}}, "that is downloaded"),
        ({"uri": "pvc://models", "revision": "v2"}, "revision belongs"),
        ({"uri": "hf://a/b@v1", "revision": "v2"}, "not twice"),
    ],
)
def test_what_does_not_fit_together_is_refused(model: dict[str, Any], said: str) -> None:
    assert any(said in message for message in faults(**model)), faults(**model)
