"""The runbook's Prometheus scrapes a real cluster under load: every panel finds its data, and is drawn.

With UPDATE_PICTURES=1 the pictures go to docs/pictures, where the README shows them.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from board_picture import Window, draw
from installed import ROOT, Cluster, available, service_url
from kubectl import Kubectl
from manifests import inference_service, namespace
from monitoring import DASHBOARDS, Prometheus, panel_queries, runbook_jobs
from waiting import until

pytestmark = pytest.mark.long
NAMESPACE = "models"
BOARDS = sorted(DASHBOARDS.glob("*.json"))
LOAD_SECONDS = 150
LOAD = """
import os, random, threading, time, openai
client = openai.OpenAI(base_url={url!r} + "/v1", api_key="none", max_retries=0, timeout=60)
began = time.monotonic()
def ask(number):
    while True:
        time.sleep(random.expovariate(2))
        if time.monotonic() - began < {seconds} * number / {clients} / 2:
            continue  # they come one after another
        prompt = "Once upon a time there was a little girl. " * random.choice([1, 2, 6])
        try:
            client.completions.create(
                model="tiny", prompt=prompt, max_tokens=random.choice([8, 40, 160]), n=random.choice([1, 1, 2]),
                temperature=random.choice([0.7, 0.7, 9.0]),
            )
        except openai.APIError:
            pass
for number in range({clients}):
    threading.Thread(target=ask, args=(number,), daemon=True).start()
threading.Event().wait({seconds})
os._exit(0)
"""


@contextmanager
def loads(client: Kubectl, clients: dict[str, int]) -> Iterator[None]:
    """`clients` by the service's address, from inside the cluster."""
    processes = []
    for url, number in clients.items():
        script = LOAD.format(url=url, clients=number, seconds=LOAD_SECONDS)
        processes.append(subprocess.Popen(client.argv("exec", "client", "--", "python", "-c", script)))
    yield
    for process in processes:
        process.wait(timeout=LOAD_SECONDS + 60)


@pytest.fixture(scope="module")
def monitored(
    cluster: Cluster, client: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Window]]:
    """After a load on two services, of which one has grown under it."""
    folder = tmp_path_factory.mktemp("monitored")
    scaling = {"maxReplicas": 3, "metrics": [{"type": "RequestsRunning", "target": 2}]}
    grows = inference_service("stories", cluster.model_uri, autoscaling=scaling, scheduler={"maxNumSeqs": 4})
    del grows["spec"]["replicas"]
    stays = inference_service(
        "chat", cluster.model_uri, scheduler={"maxNumSeqs": 2}, lora={"enableLora": True}
    )
    for manifest in (grows, stays):
        manifest["spec"]["model"]["servedModelName"] = ["tiny"]
    models = cluster.kubectl.in_namespace(NAMESPACE)
    with Prometheus(folder, runbook_jobs(kubeconfig_file=str(cluster.kubectl.kubeconfig))) as prometheus:
        models.apply(namespace(NAMESPACE), grows, stays)
        for name in ("stories", "chat"):
            available(models, name, replicas=1)
        began = time.time()
        with loads(client, {service_url(models, "stories"): 10, service_url(models, "chat"): 5}):
            until(
                lambda: len(prometheus.ask("vllm:num_requests_running")) > 2,
                seconds=LOAD_SECONDS, what="a new replica to be found and scraped",
            )  # fmt: skip
        yield prometheus, Window(began - 10, time.time())
    models.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_every_panel_finds_what_the_cluster_did(
    monitored: tuple[Prometheus, Window], board: Path, tmp_path: Path
) -> None:
    prometheus, window = monitored
    empty = [
        query.where
        for query in panel_queries(board)
        if not prometheus.ask_range(query.filled_in(), window.start, window.end, window.step)
    ]

    pictures = ROOT / "docs/pictures" if os.environ.get("UPDATE_PICTURES") else tmp_path
    pictures.mkdir(exist_ok=True)
    draw(board, prometheus, window, pictures / f"{board.stem}.png")
    assert empty == []
