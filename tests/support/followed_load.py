"""A load that autoscalers follow, and the replicas as they follow it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kubectl import Kubectl
from waiting import NotYet, until

CLIENTS = 8
LOAD = """
import os, threading, openai
client = openai.OpenAI(base_url={url!r} + "/v1", api_key="none", max_retries=5, timeout=60)
def ask():
    while True:
        client.completions.create(model="tiny", prompt="Once upon a time", max_tokens=400, extra_body={{"ignore_eos": True}})
for _ in range({clients}):
    threading.Thread(target=ask, daemon=True).start()
threading.Event().wait({seconds})
os._exit(0)
"""


@contextmanager
def load(client: Kubectl, url: str, seconds: float) -> Iterator[None]:
    """Clients that ask without a pause, from inside the cluster, for at most so long."""
    script = LOAD.format(url=url, clients=CLIENTS, seconds=seconds)
    process = subprocess.Popen(client.argv("exec", "client", "--", "python", "-c", script))
    try:
        yield
    finally:
        client.run("exec", "client", "--", "python", "-c", STOP)
        process.wait(timeout=30)


STOP = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").iterdir():
    if folder.name.isdigit() and int(folder.name) not in (1, os.getpid()):
        if b"Once upon a time" in (folder / "cmdline").read_bytes():
            os.kill(int(folder.name), signal.SIGKILL)
"""


def replicas(models: Kubectl, wanted: int, seconds: float, autoscaler: str = "tiny") -> None:
    """Wait for so many ready replicas of service `tiny`; prints when the number changes."""
    started, seen = time.monotonic(), -1

    def reached() -> bool:
        nonlocal seen
        status = models.get("infsvc", "tiny")["status"]
        if status["readyReplicas"] != seen:
            seen = status["readyReplicas"]
            print(f"{time.monotonic() - started:5.1f} s: {seen} of {status['replicas']} replicas ready")
        if seen == wanted:
            return True
        conditions = models.get("hpa", autoscaler).get("status", {}).get("conditions", [])
        raise NotYet(f"{seen} ready; " + "; ".join(f"{c['reason']}: {c['message']}" for c in conditions))

    until(reached, seconds=seconds, what=f"{wanted} ready replicas", every=0.5)
