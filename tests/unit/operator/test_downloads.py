"""What the operator makes of pods whose init container downloads the model."""

import asyncio
from typing import Any

import aiohttp
import pytest
from serving import free_port

from paddock.operator.diagnosis import problem_of
from paddock.operator.downloads import downloads_of
from paddock.server.fetch.download import Download
from paddock.server.fetch.progress import Progress

Body = dict[str, Any]


def pod(state: Body, last: Body | None = None, port: int = 8000) -> Body:
    status = {"name": "download", "state": state, "lastState": last or {}, "restartCount": int(bool(last))}
    waiting = {"name": "server", "state": {"waiting": {"reason": "PodInitializing"}}}
    return {
        "metadata": {"name": "tiny-0-0"},
        "spec": {"containers": [{"name": "server", "ports": [{"containerPort": port}]}]},
        "status": {"podIP": "127.0.0.1", "initContainerStatuses": [status], "containerStatuses": [waiting]},
    }


def asked(*pods: Body) -> dict[str, str]:
    async def ask() -> dict[str, str]:
        async with aiohttp.ClientSession() as session:
            return await downloads_of(session, pods)

    return asyncio.run(ask())


def ended(code: int, message: str = "") -> Body:
    return {"terminated": {"exitCode": code, "message": message}}


def test_a_pod_tells_how_far_its_download_is(tmp_path: Any) -> None:
    download, port = Download(tmp_path), free_port()
    (tmp_path / "part").write_bytes(bytes(250_000))
    download.expect(1_000_000, "hf://a/b")
    with Progress(port) as progress:
        progress.follow(download)

        lines = asked(pod({"running": {}}, port=port))

    assert lines == {"tiny-0-0": "downloading: 250.0 kB of 1.0 MB (25 %)"}


def test_a_pod_that_cannot_be_asked_is_downloading_all_the_same() -> None:
    assert asked(pod({"running": {}}, port=free_port())) == {"tiny-0-0": "downloading"}


def test_pods_that_download_nothing_are_not_asked() -> None:
    assert asked(pod(ended(0)), {"metadata": {"name": "b"}, "status": {}}) == {}


@pytest.mark.parametrize("state", [{"running": {}}, {"waiting": {"reason": "CrashLoopBackOff"}}])
def test_a_failed_download_is_the_models_fault_also_while_it_is_tried_again(state: Body) -> None:
    log = (
        "2026-11-21 10:00:00,000 INFO paddock.server.fetch.progress: checking\npaddock fetch: it is refused\n"
    )

    problem = problem_of(pod(state, ended(1, log)))

    assert problem is not None
    assert (problem.reason, problem.of_model) == ("ModelDownloadFailed", True)
    assert problem.message == "tiny-0-0: exit code 1, restarted once: it is refused"


def test_a_download_that_succeeded_in_the_end_is_no_problem() -> None:
    assert problem_of(pod(ended(0), ended(1, "paddock fetch: refused"))) is None
