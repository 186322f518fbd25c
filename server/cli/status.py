"""`paddock status NAME`: what an InferenceService runs, what is wrong and what to do, on one screen.

It asks through kubectl, which knows every way to log in to a cluster.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from paddock.server.cli.arguments import USAGE_ERROR, CommandParser
from paddock.server.cli.status_pods import speaker, telling_line
from paddock.server.cli.status_screen import is_fine, screen

FINE, NOT_FINE = 0, 1
_RESOURCE = "inferenceservices.paddock.dev"
_SECONDS = 30
_TAIL = 20
_EPILOG = """\
examples:
  paddock status qwen3
  paddock status qwen3 -n models --context production

exit status: 0 it serves as the spec asks, 1 it does not (yet), 2 it could not be asked
"""


class StatusError(Exception):
    """Why nothing can be shown, and what to do."""


def status(argv: Sequence[str]) -> int:
    """Print the screen; the exit status."""
    options = _parser().parse_args(argv)
    try:
        kubectl = Kubectl(options)
        resource, pods = kubectl.look(options.name)
        speakers = {pod["metadata"]["name"]: speaker(pod) for pod in pods}
        last_lines = kubectl.last_lines({pod: container for pod, container in speakers.items() if container})
    except StatusError as error:
        print(f"paddock status: {error}", file=sys.stderr)
        return USAGE_ERROR
    print(screen(resource, pods, last_lines, datetime.now(UTC)), end="")
    return FINE if is_fine(resource, pods) else NOT_FINE


def _parser() -> CommandParser:
    parser = CommandParser(
        "status", "Show what an InferenceService runs, what is wrong and what to do.", epilog=_EPILOG
    )
    parser.add_argument("name", metavar="NAME", help="name of the InferenceService")
    parser.add_argument("-n", "--namespace", metavar="N", help="its namespace; the current one when left out")
    parser.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig; as kubectl finds it when left out")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig")
    return parser


class Kubectl:
    """Questions to one namespace of one cluster."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises StatusError without kubectl."""
        program = shutil.which("kubectl")
        if program is None:
            raise StatusError("kubectl is not on PATH; install it: the cluster is asked through it")
        flags = ("namespace", "kubeconfig", "context")
        given = {flag: getattr(options, flag) for flag in flags}
        self._command = [program, *(f"--{flag}={value}" for flag, value in given.items() if value)]

    def look(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The InferenceService and its pods. Raises StatusError."""
        with ThreadPoolExecutor(2) as pool:
            resource = pool.submit(self._objects, "get", _RESOURCE, name)
            pods = pool.submit(self._objects, "get", "pods", "-l", f"paddock.dev/service={name}")
            try:
                return resource.result(), pods.result()["items"]
            except StatusError as error:
                if "NotFound" not in str(error):
                    raise
        raise StatusError(self._missing(name))

    def last_lines(self, containers: Mapping[str, str]) -> dict[str, str]:
        """What each pod's container said last. One that has said nothing yet, or is gone meanwhile, is left out."""
        with ThreadPoolExecutor(8) as pool:
            ran = pool.map(lambda each: self._run("logs", *each, f"--tail={_TAIL}"), containers.items())
            lines = {pod: telling_line(done.stdout) for pod, done in zip(containers, ran, strict=True)}
        return {pod: line for pod, line in lines.items() if line}

    def _missing(self, name: str) -> str:
        items = self._objects("get", _RESOURCE)["items"]
        names = ", ".join(item["metadata"]["name"] for item in items) or "none"
        return (
            f"there is no InferenceService {name!r} in this namespace; there are: {names}. -n chooses another"
        )

    def _objects(self, *words: str) -> dict[str, Any]:
        done = self._run(*words, "-o", "json")
        if done.returncode != 0:
            raise StatusError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self._command, *words], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise StatusError(f"the cluster did not answer within {_SECONDS} s") from None
