"""What users read: `--help` in its forms, and docs/arguments.md."""

import pytest

from paddock.engine.config import ArgumentError, help_text
from paddock.engine.config.argument import State
from paddock.engine.config.catalogue import entries
from paddock.engine.config.docs import PAGE, ROOT, render
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.help import state_counts


def test_the_overview_names_every_group_and_how_to_go_on() -> None:
    text = help_text()

    assert all(cls.__name__ in text for cls in GROUPS.values())
    assert "--help=all" in text
    assert "PADDOCK_API_KEY" in text


@pytest.mark.parametrize("topic", ["CacheConfig", "cache", "cacheconfig"])
def test_a_group_is_explained_argument_by_argument(topic: str) -> None:
    text = help_text(topic)

    assert "--block-size" in text
    assert "--max-num-seqs" not in text


@pytest.mark.parametrize("topic", ["max-model-len", "--max-model-len", "max_model_len"])
def test_an_argument_is_explained_alone(topic: str) -> None:
    text = help_text(topic)

    assert text.startswith("  --max-model-len SIZE")
    assert "default: unset; works" in text
    assert text.count("--") == 1


def test_an_alias_and_a_negation_lead_to_the_argument() -> None:
    assert "--tensor-parallel-size, -tp N" in help_text("tp")
    assert "--enforce-eager, --no-enforce-eager" in help_text("no-enforce-eager")


def test_a_part_of_a_name_finds_all_that_contain_it() -> None:
    text = help_text("log-requests")

    assert "--enable-log-requests" in text
    assert "--disable-log-requests" in text


def test_all_arguments_fit_the_width_but_for_long_words() -> None:
    text = help_text("all", width=80)

    assert all(entry.flag in text for entry in entries())
    assert all(len(line) <= 80 or " " not in line.strip() for line in text.splitlines())


def test_an_unknown_topic_is_an_error_with_a_hint() -> None:
    with pytest.raises(ArgumentError, match="did you mean max-model-len"):
        help_text("max-modle-len")


def test_the_page_of_arguments_is_current() -> None:
    assert PAGE.read_text() == render(), "run: python -m paddock.engine.config.docs"


def test_the_page_names_every_argument() -> None:
    assert all(f"`{entry.flag}`" in render() for entry in entries())


def test_the_readme_has_the_totals() -> None:
    all_of_them = entries()
    counts = state_counts(all_of_them)
    sentence = (
        f"Of {len(all_of_them)} arguments {counts[State.WORKS]} work, {counts[State.DEPRECATED]} are deprecated "
        f"(translated, with a warning), {counts[State.REFUSED]} are refused with the reason, and "
        f"{counts[State.NOT_YET]} are not supported yet"
    )

    assert sentence in " ".join((ROOT / "README.md").read_text().split())
