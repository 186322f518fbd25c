"""Every command has the options that users of the dialect know, and its help shows them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from paddock.server.cli.main import main

FACTS: dict[str, dict[str, dict[str, Any]]] = json.loads((Path(__file__).parent / "options.json").read_text())
REMOVED = {"run-batch": {"--use-v2-block-manager", "--disable-log-requests"}}
"""Left out of help. The first is refused by name, the second is deprecated, as with `serve`."""


@pytest.mark.parametrize("command", FACTS)
def test_help_shows_every_option_with_its_aliases_and_choices(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    shown = set(re.findall(r"[\w-]+", capsys.readouterr().out))
    for flag, fact in FACTS[command].items():
        if flag not in REMOVED.get(command, ()):
            missing = {flag, *fact.get("aliases", ()), *fact.get("choices", ())} - shown
            assert not missing, flag
