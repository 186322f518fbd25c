"""Clients that stream without a pause from inside the cluster, and the count of what they did not get whole."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from asking import reach
from kubectl import Kubectl

STOP = "/tmp/stop-the-load"
_SCRIPT = """
import json, openai, os, threading
url, clients, tokens, stop = {url!r}, {clients}, {tokens}, {stop!r}
lock, whole, wrong = threading.Lock(), [0] * clients, []
body = dict(
    model="tiny", prompt="Once upon a time", max_tokens=tokens, stream=True, stream_options=dict(include_usage=True)
)
if os.path.exists(stop):
    os.remove(stop)

def through_openai():
    # It opens a connection for each stream.
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=60)
    def ask():
        with client.completions.create(**body, extra_body=dict(ignore_eos=True)) as stream:
            return [chunk.model_dump() for chunk in stream]
    return ask

def over_one_connection():
    # Read to its last byte, a stream leaves its connection in the pool for the next one.
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=60)
    def ask():
        with client.completions.with_streaming_response.create(**body, extra_body=dict(ignore_eos=True)) as answer:
            lines = list(answer.iter_lines())
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {{")]
    return ask

def is_whole(chunks):
    ends = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    used = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
    return ends == ["length"] and used[-1:] == [tokens]

def go_on(number):
    ask = over_one_connection() if number % 2 else through_openai()
    while not os.path.exists(stop):
        try:
            fault = None if is_whole(ask()) else "truncated"
        except Exception as error:
            fault = "failed: " + repr(error)
        with lock:
            if fault is None:
                whole[number] += 1
            else:
                wrong.append(fault)

threads = [threading.Thread(target=go_on, args=(number,)) for number in range(clients)]
for thread in threads:
    thread.start()
print("started", flush=True)
for thread in threads:
    thread.join()
print(json.dumps(dict(whole=whole, wrong=wrong)), flush=True)
"""


@dataclass
class Tally:
    """What came of the requests, filled in when the load has ended. `whole`: answers by client."""

    whole: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def truncated(self) -> int:
        return self.wrong.count("truncated")

    @property
    def failed(self) -> int:
        return len(self.wrong) - self.truncated

    def __str__(self) -> str:
        return f"{sum(self.whole)} streams whole, {self.failed} failed, {self.truncated} truncated"


@contextmanager
def steady_load(
    client: Kubectl, url: str, *, clients: int, tokens: int, title: str = "steady load"
) -> Iterator[Tally]:
    """Streams of exactly `tokens` tokens, from the first until the end of the block. No client ever retries."""
    script = _SCRIPT.format(url=url, clients=clients, tokens=tokens, stop=STOP)
    command = client.argv("exec", "client", "--", "python", "-c", script)
    reach(client, url)
    tally, started = Tally(), time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        try:
            yield tally
        finally:
            client.run("exec", "client", "--", "touch", STOP)
            counted: dict[str, Any] = json.loads(process.communicate(timeout=120)[0])
            tally.whole, tally.wrong = counted["whole"], counted["wrong"]
            print(f"{title}: {clients} clients for {time.monotonic() - started:.0f} s: {tally}")
