"""The Dockerfile's two targets are built, small in what they may do, and run."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))
sys.path.append(str(HERE.parent))

from build import Buildah, build, storage
from local_cluster.errors import ClusterError

TINY_MODEL = HERE.parent / "models" / "tiny" / "model"
TARGETS = ["operator", "server"]
SERVE_AND_ASK = """
import json, socket, subprocess, sys, time, urllib.error, urllib.request
with socket.create_server(("127.0.0.1", 0)) as free:
    port = str(free.getsockname()[1])
base = f"http://127.0.0.1:{port}"
server = subprocess.Popen([sys.executable, "-m", "paddock.server", "serve", "/models/model", "--host", "127.0.0.1",
                           "--port", port, "--served-model-name", "tiny"])
def get(path, body=None):
    request = urllib.request.Request(base + path, body, {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=60).read()
while True:
    assert server.poll() is None, "the server has ended"
    try:
        get("/health")
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.2)
answer = json.loads(get("/v1/completions", json.dumps({"model": "tiny", "prompt": "2 + 2 =", "max_tokens": 4}).encode()))
server.terminate()
print(json.dumps({"tokens": answer["usage"]["completion_tokens"], "status": server.wait(60)}))
"""

# A cold build downloads and unpacks several GB before the first test runs.
pytestmark = pytest.mark.timeout(3600)

Run = Callable[..., str]


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    return build(TARGETS)


@pytest.fixture(scope="module")
def buildah(images: dict[str, str]) -> Buildah:
    return storage()


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def run(buildah: Buildah, images: dict[str, str]) -> Iterator[Run]:
    """run(TARGET, ARGUMENT…, options=[…]) in a new container of a target; what it printed."""
    started = []

    def in_container(target: str, *argv: str, options: tuple[str, ...] = ()) -> str:
        name = buildah("from", "--pull=never", images[target]).strip()
        started.append(name)
        return buildah("run", *options, name, "--", *argv)

    yield in_container
    for name in started:
        buildah("rm", name)


def configuration(buildah: Buildah, image: str) -> dict[str, Any]:
    inspected = json.loads(buildah("inspect", "--type", "image", image))
    configured: dict[str, Any] = inspected["OCIv1"]["config"]
    return configured


def test_an_image_runs_its_own_program_as_a_user_without_rights(
    buildah: Buildah, images: dict[str, str], target: str, run: Run
) -> None:
    configured = configuration(buildah, images[target])

    assert configured["User"] == "65532:65532"
    assert configured["Entrypoint"] == ["python", "-m", f"paddock.{target}"]
    assert run(target, "python", "-c", "import os; print(os.getuid(), os.getgid())").split() == [
        "65532",
        "65532",
    ]


def test_the_code_of_this_checkout_is_installed(target: str, run: Run) -> None:
    script = (
        f"import importlib.metadata as m, paddock.{target}; print(m.version('paddock'), paddock.__version__)"
    )

    installed, stated = run(target, "python", "-c", script).split()

    assert installed == stated


def test_the_server_says_its_version(run: Run) -> None:
    assert "0." in run("server", "python", "-m", "paddock.server", "--version")


def test_the_operator_starts_without_torch_and_says_what_it_needs(run: Run) -> None:
    with pytest.raises(ClusterError, match=r"No module named 'torch'"):
        run("operator", "python", "-c", "import torch")
    with pytest.raises(ClusterError, match=r"PADDOCK_SERVER_IMAGE is not set"):
        run("operator", "python", "-m", "paddock.operator")


def test_an_image_holds_nothing_of_the_machine_that_built_it(target: str, run: Run) -> None:
    listed = run(
        target, "find", "/run/secrets", "/etc/apt/auth.conf.d", "/etc/apt/sources.list.d", "-type", "f"
    )

    assert listed.split() == []


def test_the_server_answers_with_the_tiny_model(run: Run) -> None:
    volume = ("--volume", f"{TINY_MODEL}:/models/model:ro")

    answer = json.loads(run("server", "python", "-c", SERVE_AND_ASK, options=volume).splitlines()[-1])

    assert answer["status"] == 0
    assert 1 <= answer["tokens"] <= 4
