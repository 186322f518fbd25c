"""examples/command-lines: each manifest is what `paddock manifest` prints for the command line beside it."""

from pathlib import Path

import pytest
import yaml

from paddock.engine.config.docs import example_manifests
from paddock.engine.config.manifest.check import check, identity_faults

MANIFESTS = example_manifests()


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.stem))
def test_the_manifest_is_what_the_command_prints(path: Path) -> None:
    assert path.read_text() == MANIFESTS[path], "run: python -m paddock.engine.config.docs"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.stem))
def test_the_manifest_has_only_known_fields_and_sound_values(path: Path) -> None:
    content = yaml.safe_load(MANIFESTS[path])

    assert identity_faults(content) == []
    assert not any(fault.blocks_rules for fault in check(content))


def test_there_are_five_from_7b_to_405b() -> None:
    names = {path.stem for path in MANIFESTS}

    assert names == {"qwen2.5-7b", "llama-3-8b-sglang", "qwq-32b", "hermes-3-70b", "llama-3.1-405b"}
