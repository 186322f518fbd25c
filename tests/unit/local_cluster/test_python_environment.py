"""What of a virtual environment and its Python ends in an image, and when it is linked anew."""

import marshal
import os
import sys
import venv
from pathlib import Path

import pytest
from local_cluster.errors import ClusterError
from local_cluster.python_environment import PythonEnvironment

SOURCE_DATE = 1_700_000_000
PYC_HEADER_BYTES = 16


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PythonEnvironment:
    monkeypatch.setenv("PADDOCK_CACHE", str(tmp_path / "cache"))
    return environment_in(tmp_path / "clone")


def environment_in(clone: Path) -> PythonEnvironment:
    venv.create(clone / "venv", symlinks=True)
    return PythonEnvironment.of(clone / "venv")


def packages(environment: PythonEnvironment) -> Path:
    return environment.folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


def compiled_module(environment: PythonEnvironment, text: str, date: int = SOURCE_DATE) -> Path:
    """The bytecode of a module of this text and date."""
    module = packages(environment) / "module.py"
    module.write_text(text)
    os.utime(module, (date, date))
    environment.compile_bytecode()
    (compiled,) = packages(environment).glob("__pycache__/module.*.pyc")
    return compiled


def test_the_key_follows_what_is_installed(environment: PythonEnvironment) -> None:
    before = environment.content_key()

    (packages(environment) / "torch-2.15.0.dist-info").mkdir()

    assert environment.content_key() != before


def test_the_key_does_not_follow_our_own_code(environment: PythonEnvironment) -> None:
    before = environment.content_key()

    (packages(environment) / "paddock-0.1.0.dist-info").mkdir()

    assert environment.content_key() == before


def test_the_standard_library_goes_into_the_image_without_packages_of_the_base(
    environment: PythonEnvironment,
) -> None:
    names = {path.name for path in environment.installation_paths()}

    assert {"os.py", "encodings", "lib-dynload"} <= names
    assert names.isdisjoint({"site-packages", "dist-packages", "test"})


def test_bytecode_is_compiled_once(environment: PythonEnvironment) -> None:
    compiled = compiled_module(environment, "VALUE = 1\n")

    compiled.unlink()
    environment.compile_bytecode()

    assert not compiled.exists()


def test_another_clone_takes_over_the_bytecode_of_the_same_sources(
    environment: PythonEnvironment, tmp_path: Path
) -> None:
    compiled = compiled_module(environment, "VALUE = 1\n")

    taken = compiled_module(environment_in(tmp_path / "another"), "VALUE = 1\n")

    assert taken.samefile(compiled)


def test_bytecode_of_other_sources_is_compiled_anew_and_kept_for_the_next_clone(
    environment: PythonEnvironment, tmp_path: Path
) -> None:
    compiled_module(environment, "VALUE = 1\n")

    second = compiled_module(environment_in(tmp_path / "second"), "VALUE = 2\n", SOURCE_DATE + 1)
    third = compiled_module(environment_in(tmp_path / "third"), "VALUE = 2\n", SOURCE_DATE + 1)

    assert marshal.loads(second.read_bytes()[PYC_HEADER_BYTES:]).co_consts[0] == 2
    assert third.samefile(second)


def test_bytecode_of_packages_that_are_installed_no_more_is_dropped(
    environment: PythonEnvironment, tmp_path: Path
) -> None:
    compiled_module(environment, "VALUE = 1\n")
    (packages(environment) / "torch-2.15.0.dist-info").mkdir()

    compiled = compiled_module(environment, "VALUE = 1\n")

    (kept,) = (tmp_path / "cache" / "bytecode").rglob("module.*.pyc")
    assert kept.samefile(compiled)


def test_a_folder_without_an_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="make install"):
        PythonEnvironment.of(tmp_path)


def test_an_environment_that_containers_could_not_read_is_refused(environment: PythonEnvironment) -> None:
    environment.folder.chmod(0o700)

    with pytest.raises(ClusterError, match=r"chmod -R o\+rX"):
        PythonEnvironment.of(environment.folder)
