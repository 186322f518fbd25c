"""What `helm test` runs: the installed operator must take up an InferenceService, one that wants no pods."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from paddock.operator.client import Api, ApiError
from paddock.operator.login import find_credentials, open_session
from paddock.operator.resource import GROUP, KIND, VERSION

_PAUSE_SECONDS = 0.5


class CheckFailed(Exception):
    """What does not work, and what to look at."""


async def check(api: Api, namespace: str, seconds: float) -> str:
    """What was seen. Raises CheckFailed, and ApiError for what the API server refuses."""
    if not await api.serves(KIND):
        raise CheckFailed(
            f"the API server does not know {KIND} of {GROUP}/{VERSION}: install the chart with crds.install=true, or apply "
            "its files/inferenceservices.paddock.dev.yaml"
        )
    started = time.monotonic()
    made = await api.create(_service(namespace))
    meta = made["metadata"]
    try:
        reason = await _taken_up(api, namespace, meta["name"], started + seconds)
    finally:
        await api.delete(KIND, namespace, meta["name"], meta["uid"], None)
    return f"the operator took up {KIND} {namespace}/{meta['name']} after {time.monotonic() - started:.1f} s: {reason}"


async def _taken_up(api: Api, namespace: str, name: str, deadline: float) -> str:
    """The reason of its condition Accepted, once that is True."""
    while True:
        found = await api.get(KIND, namespace, name) or {}
        accepted = _accepted(found)
        if accepted.get("status") == "True":
            return str(accepted["reason"])
        if time.monotonic() > deadline:
            seen = accepted.get("message") or "it has no status"
            raise CheckFailed(
                f"the operator did not take up {KIND} {namespace}/{name} in time ({seen}): look at its pods and their logs, "
                "and whether operator.watchNamespaces has this namespace"
            )
        await asyncio.sleep(_PAUSE_SECONDS)


def _service(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": f"installation-check-{secrets.token_hex(3)}", "namespace": namespace},
        "spec": {"model": {"uri": "pvc://installation-check"}, "replicas": 0},
    }


def _accepted(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == "Accepted"), {})


async def _run(namespace: str, seconds: float) -> str:
    credentials = find_credentials()
    async with open_session(credentials, lambda *_: None) as session:
        return await check(Api(session, credentials.server), namespace, seconds)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m paddock.operator.installation_check")
    parser.add_argument(
        "--namespace",
        required=True,
        help="where an InferenceService is made for a moment; the operator serves it",
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long the operator may take (60)")
    given = parser.parse_args(argv)
    try:
        print(asyncio.run(_run(given.namespace, given.seconds)))
    except (CheckFailed, ApiError, aiohttp.ClientError, TimeoutError) as error:
        print(f"installation check: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
