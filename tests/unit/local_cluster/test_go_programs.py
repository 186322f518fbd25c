"""When a family of programs is built again, and which Go will do."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from local_cluster import go_programs
from local_cluster.errors import ClusterError
from local_cluster.go_programs import (
    COLLECTOR,
    FAMILIES,
    KEDA,
    METRICS_ADAPTER,
    MONITORING,
    Family,
    find_go,
    required_go,
    version_numbers,
)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """CoreDNS, with sources that a test may change."""
    monkeypatch.setattr(go_programs, "SOURCES", tmp_path)
    shutil.copytree(
        Path(__file__).parents[2] / "local_cluster" / "go" / "coredns", tmp_path / "go" / "coredns"
    )
    return next(one for one in FAMILIES if one.name == "coredns")


def test_the_key_stays_while_nothing_changes(family: Family) -> None:
    assert family.key() == family.key()


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_the_key_changes_with_every_file_of_the_module(family: Family, file: str) -> None:
    before = family.key()

    with (family.source / file).open("a") as text:
        text.write("\n// changed\n")

    assert family.key() != before


def test_the_key_changes_with_a_linked_value(family: Family) -> None:
    assert dataclasses.replace(family, link_values={"x.version": "v2"}).key() != family.key()


@pytest.mark.parametrize(
    "every", [*FAMILIES, MONITORING, COLLECTOR, KEDA, METRICS_ADAPTER], ids=lambda one: one.name
)
def test_every_family_pins_its_modules_with_checksums(every: Family) -> None:
    source = every.source

    assert version_numbers(required_go((source / "go.mod").read_text())) >= (1, 26)
    assert (source / "go.sum").read_text().count(" h1:") > 50


@pytest.mark.parametrize(
    ("text", "numbers"), [("1.26.8", (1, 26, 8)), ("1.26rc1", (1, 26, 1)), ("1.9", (1, 9))]
)
def test_go_versions_compare_as_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert version_numbers(text) == numbers


def test_a_missing_go_is_said_with_the_version_that_is_needed(
    family: Family, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(go_programs, "GO_FOLDER", tmp_path)

    with pytest.raises(ClusterError, match=r"not found.*install Go 1\.26"):
        find_go(family)


@pytest.fixture
def go_that_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(script: str) -> None:
        program = tmp_path / "bin" / "go"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return install


def test_an_old_go_is_refused_with_both_versions(family: Family, go_that_says: Callable[[str], None]) -> None:
    go_that_says("echo go1.19.8")

    with pytest.raises(ClusterError, match=r"Go 1\.19\.8, too old.*Go 1\.26"):
        find_go(family)


def test_a_go_that_refuses_the_module_is_quoted(family: Family, go_that_says: Callable[[str], None]) -> None:
    go_that_says("echo 'go.mod requires go >= 1.26.0' >&2; exit 1")

    with pytest.raises(ClusterError, match=r"go\.mod requires go >= 1\.26\.0"):
        find_go(family)
