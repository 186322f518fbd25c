"""`paddock status`: one screen out of an InferenceService, its pods and the last lines of their logs."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from paddock.server.cli.status import status
from paddock.server.cli.status_pods import speaker, telling_line
from paddock.server.cli.status_screen import is_fine, screen

NOW = datetime(2026, 1, 1, 12, 3, tzinfo=UTC)
CREATED = "2026-01-01T12:00:00Z"
WELL = {
    "Accepted": ("True", "Accepted"),
    "Progressing": ("False", "UpToDate"),
    "Available": ("True", "Serving"),
    "Degraded": ("False", "AsExpected"),
}


def service(observed: int = 2, **conditions: tuple[str, str]) -> dict[str, Any]:
    """An InferenceService of generation 2; keywords are conditions as (status, reason) that differ from a healthy one's."""
    stated = [
        {"type": kind, "status": state, "reason": reason, "message": f"about {kind}"}
        for kind, (state, reason) in {**WELL, **conditions}.items()
    ]
    return {
        "metadata": {"name": "qwen3", "namespace": "models", "generation": 2, "creationTimestamp": CREATED},
        "spec": {"model": {"uri": "pvc://models/qwen3"}},
        "status": {
            "conditions": stated,
            "observedGeneration": observed,
            "ready": "1/2",
            "url": "http://qwen3.models.svc",
            "configuration": [
                {"argument": "max-model-len", "value": "1024", "origin": "spec.model.maxModelLen"},
                {"argument": "model", "value": "pvc://models/qwen3", "origin": "spec.model.uri"},
            ],
        },
    }


def pod(name: str, ready: bool, state: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": CREATED, **metadata},
        "spec": {"nodeName": "node-1", "containers": [{"name": "server"}]},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": 2, "state": state}],
        },
    }


READY = pod("qwen3-0-0", True, {"running": {}})


def test_a_healthy_service_is_fine_and_says_where_to_ask() -> None:
    text = screen(service(), [READY], {}, NOW)

    assert is_fine(service(), [READY])
    assert text == (
        "qwen3 in models: serving, 1/2 replicas ready, 3m old\n"
        "  url        http://qwen3.models.svc\n"
        "  model      pvc://models/qwen3\n"
        "  plan       not made yet\n"
        "  arguments  max-model-len=1024\n"
        "\n"
        "POD        NODE    AGE  RESTARTS  STATE\n"
        "qwen3-0-0  node-1  3m   2         ready\n"
        "\n"
        "nothing is wrong\n"
    )


PLAN = {"podsPerReplica": 2, "gpusPerPod": 4, "basis": "not known yet"}
FIGURES = {"weightBytes": 141_100_000_000, "kvBytesPerToken": 327_680, "kvTokensPerReplica": 41_232}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (PLAN, "2 pods of 4 accelerators in a replica; not known yet"),
        (
            {**PLAN, **FIGURES},
            (
                "2 pods of 4 accelerators in a replica; 141.1 GB of weights, 327680 bytes of cache for a token, room for 41232 "
                "tokens (not known yet)"
            ),
        ),
        (
            {"weightBytes": 11_534_336, "basis": "reported by pod a-0-0 of revision 41f02c77d9"},
            "1 pod in a replica; 11.5 MB of weights (reported by pod a-0-0)",
        ),
        (
            {"basis": "known once it is loaded: nobody opens its files"},
            "1 pod in a replica; known once it is loaded",
        ),
        ({"podsPerReplica": 1, "gpusPerPod": 0}, "1 pod in a replica"),
    ],
)
def test_the_plan_is_told_as_far_as_it_is_known(plan: dict[str, Any], said: str) -> None:
    resource = service()
    resource["status"]["plan"] = plan
    assert f"  plan       {said}\n" in screen(resource, [], {}, NOW)


def test_a_replica_of_several_pods_shows_what_it_waits_for() -> None:
    resource = service()
    resource["status"]["plan"] = PLAN
    back_off = {"waiting": {"reason": "CrashLoopBackOff"}}
    labels = [{"paddock.dev/group": group} for group in "01"]
    pods = [
        pod("qwen3-0-0", True, {"running": {}}, labels=labels[0]),
        pod("qwen3-0-1", True, {"running": {}}, labels=labels[0]),
        pod("qwen3-1-0", False, {"running": {}}, labels=labels[1]),
        pod("qwen3-1-1", False, back_off, labels=labels[1]),
    ]
    text = screen(resource, pods, {}, NOW)
    assert "REPLICA  PODS READY  STATE\n0        2/2         whole\n" in text
    assert "1        0/2         waits for qwen3-1-1: CrashLoopBackOff\n" in text


def test_a_pod_that_loads_shows_how_far_it_is() -> None:
    loading = pod("qwen3-1-0", False, {"running": {}})
    line = "2026-01-01 12:02:00,1 INFO paddock.engine.weights.progress: loading weights: 3.2 GB in 4.0 s"
    text = screen(service(Progressing=("True", "RollingOut")), [loading], {"qwen3-1-0": line}, NOW)

    assert speaker(loading) == "server"
    assert "loading: loading weights: 3.2 GB in 4.0 s" in text
    assert "rollout: RollingOut: about Progressing" in text


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (
            {"Accepted": ("False", "InvalidSpec")},
            ["wrong: InvalidSpec: about Accepted", "to do: correct the named"],
        ),
        (
            {"Degraded": ("True", "ModelLoadFailed")},
            ["wrong: ModelLoadFailed", "apply the previous manifest"],
        ),
        (
            {"Available": ("False", "ScaledToZero")},
            ["models: scaled to zero", "to do: kubectl scale -n models infsvc/qwen3 --replicas=1"],
        ),
        (
            {"Degraded": ("True", "VolumeClaimMissing")},
            ["wrong: VolumeClaimMissing", "or correct spec.model.uri"],
        ),
        (
            {"Degraded": ("True", "SomethingNew")},
            ["wrong: SomethingNew", "to do: kubectl describe -n models infsvc qwen3"],
        ),
    ],
)
def test_what_is_wrong_comes_with_what_to_do(condition: dict[str, tuple[str, str]], words: list[str]) -> None:
    text = screen(service(**condition), [], {}, NOW)

    assert all(word in text for word in [*words, "no pods"])
    assert not is_fine(service(**condition), [READY])


def about(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    """A service with this condition beside healthy ones."""
    resource = service()
    others = [each for each in resource["status"]["conditions"] if each["type"] != kind]
    stated = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**resource, "status": {**resource["status"], "conditions": [*others, stated]}}


def test_a_wrong_argument_comes_with_the_command_that_shows_the_whole_log() -> None:
    message = (
        "qwen3-0-0: exit code 2, restarted 5 times: --max-model-len 1000000 is more than the 2048 positions"
    )
    resource = about("Degraded", "True", "Crashing", message)
    blocked = {"type": "Progressing", "status": "False", "reason": "Blocked"}
    counts = "1 of 1 replicas follow revision 81c9e68ba3, 1 exist; waiting for repair"
    resource["status"]["conditions"].insert(0, {**blocked, "message": f"{counts}: {message}"})
    text = screen(resource, [pod("qwen3-0-0", False, {"waiting": {"reason": "CrashLoopBackOff"}})], {}, NOW)

    assert f"wrong: Crashing: {message}\nto do: " in text
    assert "kubectl logs -n models qwen3-0-0 --previous\n" in text
    assert f"rollout: Blocked: {counts}\n" in text, "the cause is told once"


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("True", "Loaded", "  adapters   about sql\n"),
        ("Unknown", "Loading", "  adapters   not all ready: about sql\n"),
        ("False", "AdapterFailed", "  adapters   not all ready, see below\n"),
    ],
)
def test_adapters_have_a_line_of_their_own(status: str, reason: str, said: str) -> None:
    resource = about("AdaptersReady", status, reason, "about sql")

    assert said in screen(resource, [], {}, NOW)
    assert is_fine(resource, [READY]) == (status == "True")


def test_a_failed_adapter_says_what_to_do_while_the_service_serves() -> None:
    message = "qwen3-0-0: absent: model 'team/absent' cannot be downloaded: 404 Client Error."
    text = screen(about("Degraded", "True", "AdapterFailed", message), [], {}, NOW)

    assert "serving, " in text
    assert f"wrong: AdapterFailed: {message}\nto do: correct that adapter in spec.lora.adapters" in text


def preparing(container: str) -> dict[str, Any]:
    """A pod of which the init container runs, after another that is done."""
    made = pod("qwen3-0-0", False, {"waiting": {"reason": "PodInitializing"}})
    done = {"name": "survey", "state": {"terminated": {"exitCode": 0}}}
    made["status"]["initContainerStatuses"] = [done, {"name": container, "state": {"running": {}}}]
    return made


def test_a_pod_that_downloads_its_model_shows_how_far_it_is() -> None:
    line = "2026-01-01 12:02:59,000 INFO paddock.server.fetch.progress: downloading: 1.2 GB of 3.4 GB (35 %)"
    downloading = preparing("download")

    assert speaker(downloading) == "download"
    text = screen(service(), [downloading], {"qwen3-0-0": line}, NOW)
    assert "  downloading: 1.2 GB of 3.4 GB (35 %)\n" in text
    assert "  downloading\n" in screen(service(), [downloading], {}, NOW)


def test_once_the_server_runs_its_log_tells_and_not_that_of_the_adapters_beside_it() -> None:
    both = preparing("adapters")
    assert speaker(both) == "adapters"
    assert "  fetching adapters\n" in screen(service(), [both], {}, NOW)

    both["status"]["containerStatuses"] = [{"restartCount": 0, "state": {"running": {}}}]
    assert speaker(both) == "server"
    assert "  starting\n" in screen(service(), [both], {}, NOW)


def test_of_a_log_the_last_line_of_ours_tells() -> None:
    ours = "2026-01-01 12:02:00,1 INFO paddock.server: still loading the model, 10 s so far"
    arguments = "2026-01-01 12:01:50,1 INFO paddock.server: arguments: max-num-seqs=32 (command line)"

    assert telling_line(f"{arguments}\n{ours}\nWarning: some library\n") == ours
    assert telling_line(f"{arguments}\n") == ""
    assert telling_line("Trying to resume download...\n\n") == "Trying to resume download..."


def test_a_change_that_the_operator_has_not_seen_is_not_fine() -> None:
    assert "not taken up yet" in screen(service(observed=1), [], {}, NOW)
    assert not is_fine(service(observed=1), [READY])


def test_a_status_that_says_more_than_the_pods_is_not_believed() -> None:
    crashed = pod("qwen3-0-0", False, {"waiting": {"reason": "CrashLoopBackOff"}})
    text = screen(service(), [crashed], {}, NOW)

    assert not is_fine(service(), [crashed])
    assert "wrong: no pod is ready, and yet the status says that it serves" in text
    assert "kubectl get pods -A -l app.kubernetes.io/name=paddock-operator" in text


def test_a_service_without_status_tells_to_look_for_the_operator() -> None:
    new = {key: value for key, value in service().items() if key != "status"}

    assert "look whether the operator runs" in screen(new, [], {}, NOW)


@pytest.mark.parametrize(
    ("state", "metadata", "words"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {}, "CrashLoopBackOff"),
        ({"running": {}}, {"deletionTimestamp": CREATED}, "finishing its requests"),
        ({"running": {}}, {}, "starting"),
        (
            {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            {},
            "ended with exit code 137 (OOMKilled)",
        ),
    ],
)
def test_each_pod_says_what_it_does(state: dict[str, Any], metadata: dict[str, str], words: str) -> None:
    assert words in screen(service(), [pod("qwen3-0-0", False, state, **metadata)], {}, NOW)


def test_without_kubectl_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")

    assert status(["qwen3"]) == 2
    assert "kubectl is not on PATH" in capsys.readouterr().err


def test_neither_torch_nor_the_server_is_imported() -> None:
    script = "import sys, paddock.server.cli.status; print(*{'torch', 'transformers', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
