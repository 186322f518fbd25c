"""What of a virtual environment and its Python ends in an image, and when it is linked anew."""

import sys
import venv
from pathlib import Path

import pytest
from local_cluster.errors import ClusterError
from local_cluster.python_environment import PythonEnvironment


@pytest.fixture
def environment(tmp_path: Path) -> PythonEnvironment:
    venv.create(tmp_path / "venv", symlinks=True)
    return PythonEnvironment.of(tmp_path / "venv")


def packages(environment: PythonEnvironment) -> Path:
    return environment.folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


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
    module = packages(environment) / "module.py"
    module.write_text("VALUE = 1\n")

    environment.compile_bytecode()

    (compiled,) = packages(environment).glob("__pycache__/module.*.pyc")
    compiled.unlink()
    environment.compile_bytecode()
    assert not compiled.exists()


def test_a_folder_without_an_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="make install"):
        PythonEnvironment.of(tmp_path)


def test_an_environment_that_containers_could_not_read_is_refused(environment: PythonEnvironment) -> None:
    environment.folder.chmod(0o700)

    with pytest.raises(ClusterError, match=r"chmod -R o\+rX"):
        PythonEnvironment.of(environment.folder)
