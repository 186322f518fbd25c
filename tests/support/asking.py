"""Ask a service from inside the cluster with the official `openai` client."""

import json
from typing import Any
from urllib.parse import urlsplit

from kubectl import Kubectl

_SCRIPT = """
import json, openai
request = json.loads({request!r})
client = openai.OpenAI(base_url={base_url!r}, api_key={api_key!r}, max_retries=0, timeout=60)
try:
    chunks = client.chat.completions.create(stream=True, stream_options={{"include_usage": True}}, **request)
    text, usage, model = "", None, None
    for chunk in chunks:
        model = chunk.model
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    print(json.dumps({{"text": text, "model": model, "usage": usage.model_dump()}}))
except openai.APIStatusError as error:
    print(json.dumps({{"status": error.status_code, "message": error.message}}))
except openai.APIConnectionError as error:
    print(json.dumps({{"status": 0, "message": repr(error.__cause__ or error)}}))
"""

_REACH = """
import socket, time
deadline = time.monotonic() + 60
while True:
    try:
        socket.create_connection({address!r}, timeout=5).close()
        break
    except ConnectionRefusedError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.1)
"""


def reaching(url: str) -> str:
    """What a script in the client's pod begins with: wait until the Service takes connections.

    The client's node hears of the endpoints after a pod is Ready.
    """
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return _REACH.format(address=(parts.hostname, port))


def reach(client: Kubectl, url: str) -> None:
    client.exec_python("client", reaching(url))


def ask(
    client: Kubectl, url: str, question: str, *, model: str, api_key: str = "none", **parameters: Any
) -> Any:
    """The streamed answer as {text, model, usage}, or {status, message} of the error. Greedy unless told otherwise."""
    request = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": 48,
        **parameters,
    }
    script = reaching(url) + _SCRIPT.format(
        request=json.dumps(request), base_url=f"{url}/v1", api_key=api_key
    )
    return json.loads(client.exec_python("client", script))
