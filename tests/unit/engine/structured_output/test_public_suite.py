"""The shapes of the public JSON-Schema test suite: what a library keeps it keeps wholly, and all else is refused by name."""

import json
import re
import time
from collections import Counter
from typing import Any

import jsonschema
import pytest
from constrained_texts import num_valid, takes
from json_schema_suite import download, groups

from paddock.engine.structured_output.compiler import TIME_LIMIT_SECONDS
from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.schema_keywords import ASSERTIONS

BACKENDS = ["xgrammar", "guidance", "outlines", "lm-format-enforcer", "auto"]
TEXTS_OF_EACH = 6
KEYWORDS = ASSERTIONS | {"$defs"}
NO_KEYWORD = re.compile("schema is false|Schema 'false'|float range")
"""A schema that no text fits may have no keyword; nor has guidance's word for bounds past its integers."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return list(groups(download(tmp_path_factory.mktemp("suite"))))


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_text_fits_its_schema_and_no_other_text_passes(maker_of, suite, backend: str, capsys) -> None:
    counts: Counter[str] = Counter()
    maker_of(backend).make(Constraint(kind="json", text="true"))  # loads the library
    for group in suite:
        counts["schemas"] += 1
        begun = time.monotonic()
        grammar = made(maker_of(backend), group["schema"])
        slowest = max(counts["slowest ms"], round(1000 * (time.monotonic() - begun)))
        counts["slowest ms"] = slowest
        if grammar is not None:
            counts["kept"] += 1
            counts["texts that ended"] += num_valid(grammar, group["schema"], TEXTS_OF_EACH, 80)
            check_instances(grammar, group, counts)
    with capsys.disabled():
        print(f"\n{backend}: {dict(counts)}")
    assert counts["kept"] >= {"auto": 150, "guidance": 150, "xgrammar": 90}.get(backend, 1)
    assert slowest < 1000 * TIME_LIMIT_SECONDS


def made(maker: Any, schema: object) -> Any:
    try:
        return maker.make(Constraint(kind="json", text=json.dumps(schema), disable_fallback=True))
    except ConstraintError as error:
        reason = str(error)
    assert KEYWORDS & set(re.findall(r"\$?\w+", reason)) or NO_KEYWORD.search(reason), (reason, schema)
    return None


def check_instances(grammar: Any, group: dict[str, Any], counts: Counter[str]) -> None:
    # The judge is the validator: its expressions are Python's, not those of ECMA 262.
    validator = jsonschema.Draft202012Validator(group["schema"])
    for test in group["tests"]:
        taken = takes(grammar, json.dumps(test["data"], ensure_ascii=False).encode("utf-8", "replace"))
        is_valid = validator.is_valid(test["data"])
        assert is_valid or test["valid"] or not taken, (test, group["schema"])
        counts["valid" if is_valid else "invalid"] += 1
        counts["valid and taken"] += taken
