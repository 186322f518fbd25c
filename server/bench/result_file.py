"""The JSON file of a run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paddock.server.bench.errors import BenchError
from paddock.server.bench.outcome import Outcome


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Every request, as one list for each property."""
    return {
        "input_lens": [outcome.num_prompt_tokens for outcome in outcomes],
        "output_lens": [outcome.num_output_tokens for outcome in outcomes],
        "start_times": [outcome.started for outcome in outcomes],
        "ttfts": [outcome.first_token for outcome in outcomes],
        "itls": [outcome.gaps for outcome in outcomes],
        "e2els": [outcome.seconds for outcome in outcomes],
        "generated_texts": [outcome.text for outcome in outcomes],
        "errors": [outcome.error for outcome in outcomes],
    }


def check_folder(path: Path, flag: str) -> None:
    """Raises BenchError: asked before the run, whose numbers would otherwise be lost."""
    if not path.absolute().parent.is_dir():
        raise BenchError(f"{flag} {path}: its folder does not exist")
    if path.is_dir():
        raise BenchError(f"{flag} {path}: is a folder; name a file")


def write(path: Path, result: dict[str, Any], append: bool = False) -> None:
    """One line, so that a file that is added to is JSON Lines. Raises BenchError."""
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from None
